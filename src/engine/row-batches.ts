import type { LlamaContext } from '../llama/index.js';
import type { Chunk } from './executor.js';

/** A chunk of the step, or a part of it. */
export interface Piece {
  chunk: Chunk;
  /** Which of the step's chunks it is (a part of). */
  index: number;
}

/** Pieces that are computed together, for something of each of their rows. */
export interface RowBatch {
  kind: RowReader['kind'];
  pieces: Piece[];
}

/** Who wants something of every row of a chunk. */
export interface RowReader {
  /** Hidden states behind the last norm, or logits. */
  readonly kind: 'states' | 'logits';
  /** Called for each position of the chunk, in order, while the step is computed. The row is a view: the next batch overwrites it. */
  take(position: number, row: Float32Array): void;
}

/**
 * Reads rows of a prompt. The prompt may be computed anew on the way, when it was preempted: rows that were read before
 * come again.
 */
export interface PromptReader extends RowReader {
  /** Whether it has to read a chunk that ends at this position. */
  reads(end: number): boolean;
}

/** Hands the rows of a batch to those who want them. @param firstRows where each piece begins in it */
export function readRows(
  context: Pick<LlamaContext, 'embedding' | 'logits'>,
  { kind, pieces }: RowBatch,
  firstRows: readonly number[],
): void {
  for (const [i, { chunk }] of pieces.entries()) {
    for (let offset = 0; offset < chunk.count; offset++) {
      const row = firstRows[i] + offset;
      chunk.reader?.take(chunk.start + offset, kind === 'states' ? context.embedding(row) : context.logits(row));
    }
  }
}

/**
 * What is to be decoded for a step, in this order: chunks with a row reader in batches of at most `most` rows, as llama.cpp has
 * room for the outputs of so many, hidden states apart from logits; at last everything else at once, so that its
 * logits are there when the step is over. A last row that is to be sampled from is among those.
 */
export function planBatches(chunks: readonly Chunk[], most: number): { batches: RowBatch[]; rest: Piece[] } {
  const rest: Piece[] = [];
  const batches: RowBatch[] = [];
  const open = { states: 0, logits: 0 };
  const add = (kind: RowReader['kind'], piece: Piece): void => {
    const last = batches.findLast((batch) => batch.kind === kind);
    if (last !== undefined && open[kind] > 0) last.pieces.push(piece);
    else batches.push({ kind, pieces: [piece] });
    open[kind] = (open[kind] || most) - piece.chunk.count;
  };
  for (const [index, chunk] of chunks.entries()) {
    if (chunk.reader === undefined) {
      rest.push({ chunk, index });
      continue;
    }
    const { kind } = chunk.reader;
    const end = chunk.start + chunk.count;
    const readEnd = chunk.wantsLogits ? end - 1 : end;
    for (let start = chunk.start; start < readEnd; ) {
      const count = Math.min(readEnd - start, open[kind] || most);
      add(kind, { chunk: { ...chunk, start, count, wantsLogits: false }, index });
      start += count;
    }
    if (chunk.wantsLogits) rest.push({ chunk: { ...chunk, start: end - 1, count: 1 }, index });
  }
  return { batches, rest };
}
