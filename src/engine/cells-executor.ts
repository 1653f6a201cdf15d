import type { BlockCopy } from '../kvcache/index.js';
import { LlamaBatch, type LlamaContext } from '../llama/index.js';
import { type CellSequence, CellSequences, type CellSequencesOptions } from './cell-sequences.js';
import type { Chunk } from './executor.js';
import { type Piece, planBatches, type RowReader, readRows } from './row-batches.js';

export interface CellsExecutorOptions extends Omit<CellSequencesOptions, 'memory'> {
  /** With a unified KV cache of at least as many cells as there are positions in all blocks. */
  context: Pick<LlamaContext, 'batchSize' | 'maxOutputs' | 'decode' | 'embed' | 'embedding' | 'logits' | 'memory'>;
}

/**
 * Computes one step with llama.cpp's own KV cache and attention: all chunks in one `llama_decode`, those with a reader in
 * others before it. The blocks of the
 * chunks only say who shares what with whom; {@link CellSequences} does the same with llama.cpp's cells.
 */
export class CellsExecutor {
  private readonly context: CellsExecutorOptions['context'];
  private readonly blockSize: number;
  private readonly batch: LlamaBatch;
  private readonly sequences: CellSequences;
  /** Row of each chunk's logits in the last step. */
  private lastRows: number[] = [];

  constructor({ context, ...options }: CellsExecutorOptions) {
    this.context = context;
    this.blockSize = options.blockSize;
    this.batch = new LlamaBatch(context.batchSize);
    this.sequences = new CellSequences({ ...options, memory: context.memory });
  }

  /**
   * Computes the chunks: one per sequence, at most as many as there are ids and tokens in a batch.
   * @throws LlamaError when llama.cpp fails
   */
  run(chunks: readonly Chunk[], copies: readonly BlockCopy[] = []): void {
    const { sequences } = this;
    sequences.beginStep(copies);
    const known = chunks.map((chunk) => sequences.continuing(chunk));
    const newcomers = chunks.filter((_, i) => known[i] === undefined);
    for (const chunk of newcomers) sequences.touchHolders(chunk);
    // Newcomers first: what they share may be renamed or given away by the others' claims.
    const placed = chunks.map((chunk, i) => known[i] ?? this.join(chunk));
    for (const [i, chunk] of chunks.entries()) sequences.settleCopy(placed[i], chunk);
    for (const [i, chunk] of chunks.entries()) sequences.claim(placed[i], chunk, chunk.start + chunk.count);
    const { batches, rest } = planBatches(chunks, this.context.maxOutputs);
    for (const batch of batches) readRows(this.context, batch, this.compute(batch.pieces, placed, batch.kind));
    this.lastRows = new Array<number>(chunks.length).fill(-1);
    if (rest.length > 0) {
      const firstRows = this.compute(rest, placed, 'last-logits');
      for (const [i, { chunk, index }] of rest.entries()) this.lastRows[index] = firstRows[i] + chunk.count - 1;
    }
    sequences.endStep();
  }

  /** Logits of chunk `index` of the last step, [vocabSize]: a view that the next step overwrites. */
  logits(index: number): Float32Array {
    return this.context.logits(this.lastRows[index]);
  }

  /** Gives the chunk's table a sequence that holds everything before the chunk. */
  private join(chunk: Chunk): CellSequence {
    const { sequences, batch, blockSize } = this;
    const sequence = sequences.open(chunk.blocks);
    while (sequence.length < chunk.start) {
      if (sequences.share(sequence, chunk)) continue;
      // Ids ran out since the scheduler found this block: compute it again.
      const from = sequence.length;
      const blockEnd = (Math.floor(from / blockSize) + 1) * blockSize;
      const end = Math.min(blockEnd, chunk.start, from + batch.capacity);
      sequences.claim(sequence, chunk, end);
      batch.length = this.writeRows(0, { ...chunk, start: from, count: end - from }, sequence.id);
      this.context.decode(batch);
      sequences.advance(sequence, end);
    }
    return sequence;
  }

  /** Decodes these pieces for the logits they want, or for something of all rows. Returns the first row of each. */
  private compute(
    pieces: readonly Piece[],
    placed: readonly CellSequence[],
    outputs: RowReader['kind'] | 'last-logits',
  ): number[] {
    const firstRows = this.fill(pieces, placed, outputs === 'logits');
    if (outputs === 'states') this.context.embed(this.batch);
    else this.context.decode(this.batch);
    for (const { chunk, index } of pieces) this.sequences.advance(placed[index], chunk.start + chunk.count);
    return firstRows;
  }

  /** Returns the first row of each piece. */
  private fill(pieces: readonly Piece[], placed: readonly CellSequence[], everyLogits: boolean): number[] {
    // llama.cpp computes recurrent layers for ranges of neighbouring ids at once.
    const idOf = (piece: number): number => placed[pieces[piece].index].id;
    const order = pieces.map((_, piece) => piece).sort((a, b) => idOf(a) - idOf(b));
    const firstRows = new Array<number>(pieces.length);
    let row = 0;
    for (const piece of order) {
      const { chunk } = pieces[piece];
      firstRows[piece] = row;
      row = this.writeRows(row, chunk, idOf(piece));
      if (everyLogits) this.batch.wantsLogits.fill(1, firstRows[piece], row);
      else if (chunk.wantsLogits) this.batch.wantsLogits[row - 1] = 1;
    }
    this.batch.length = row;
    return firstRows;
  }

  /** Returns the row after the chunk's last. */
  private writeRows(row: number, { tokens, start, count }: Chunk, id: number): number {
    const { batch } = this;
    for (let i = 0; i < count; i++) {
      batch.tokens[row + i] = tokens[start + i];
      batch.positions[row + i] = start + i;
      batch.sequenceIds[row + i] = id;
      batch.wantsLogits[row + i] = 0;
    }
    return row + count;
  }
}
