import { PAGE_TOKENS, type PagedAttention } from '../attention/index.js';
import type { BlockCopy } from '../kvcache/index.js';
import { decodeTogether, type LlamaContext } from '../llama/index.js';
import { type LanePart, type Lanes, shareOut } from './lanes.js';
import { planBatches, type RowReader, readRows } from './row-batches.js';
import { MAX_ROW_PADDING, StepBatch, type StepBatchOptions, type StepOutputs } from './step-batch.js';

/** Positions [start, start + count) of one sequence, whose KV goes to, and whose past lies in, these blocks. */
export interface Chunk {
  /** The sequence's tokens, at least start + count of them. */
  tokens: Int32Array;
  start: number;
  count: number;
  /**
   * `blocks[i]` holds positions [i · blockSize, (i + 1) · blockSize). It is the sequence's own list: the same array
   * from step to step, which is empty when the sequence has given its blocks up.
   */
  blocks: readonly number[];
  /** Logits after the chunk's last token are wanted. */
  wantsLogits: boolean;
  /** Wants something of every row besides; of the last one only if its logits are not wanted anyway. */
  reader?: RowReader;
}

export interface ExecutorOptions extends StepBatchOptions {
  attention: PagedAttention;
  /** Where large steps are computed. */
  lanes?: Lanes;
  /** Rows that each lane has at least; default {@link Lanes.leastRows}. */
  leastLaneRows?: number;
}

/**
 * Computes one step: all chunks in one `llama_decode`, or, where there are enough rows, in one of each lane at the same time,
 * with attention over our pages; those with a reader in others before it.
 */
export class Executor {
  private readonly options: ExecutorOptions;
  private readonly whole: StepBatch;
  private readonly lanes: readonly StepBatch[];
  private readonly pagesPerBlock: number;
  /** Which row of which context has each chunk's logits in the last step. */
  private lastRows: { context: LlamaContext; row: number }[] = [];

  constructor(options: ExecutorOptions) {
    this.options = options;
    this.whole = new StepBatch(options);
    this.lanes = options.lanes?.lanes.map((lane) => new StepBatch({ ...options, ...lane })) ?? [];
    this.pagesPerBlock = options.blockSize / PAGE_TOKENS;
  }

  /**
   * Copies blocks, then computes the chunks: one per sequence, at most the context's sequences and tokens.
   * @throws LlamaError when llama.cpp fails, Error when its graph has an attention that the kernel cannot compute
   */
  run(chunks: readonly Chunk[], copies: readonly BlockCopy[] = []): void {
    const { context } = this.options;
    for (const { source, target } of copies) this.copyBlock(source, target);
    const { batches, rest } = planBatches(chunks, context.maxOutputs - MAX_ROW_PADDING);
    for (const { kind, pieces } of batches) {
      const parts = pieces.map(({ chunk }) => chunk);
      readRows(context, { kind, pieces }, this.compute(parts, kind));
    }
    this.lastRows = new Array(chunks.length);
    if (rest.length === 0) return;
    const last = this.computeLast(rest.map(({ chunk }) => chunk));
    for (const [i, { index }] of rest.entries()) this.lastRows[index] = last[i];
  }

  /** Logits of chunk `index` of the last step, [vocabSize]: a view that the next step overwrites. */
  logits(index: number): Float32Array {
    const { context, row } = this.lastRows[index];
    return context.logits(row);
  }

  /** Decodes chunks for the logits they want. Returns where those of each one's last row are. */
  private computeLast(chunks: readonly Chunk[]): { context: LlamaContext; row: number }[] {
    const shares = this.shareOut(chunks);
    if (shares !== undefined) return this.computeInLanes(shares, chunks.length);
    const { context } = this.options;
    return this.compute(chunks, 'last-logits').map((row, i) => ({ context, row: row + chunks[i].count - 1 }));
  }

  /** Decodes chunks for the logits they want, or for something of all rows. Returns the first row of each. */
  private compute(chunks: readonly Chunk[], outputs: StepOutputs): number[] {
    const { context } = this.options;
    const firstRows = this.whole.begin(chunks, outputs);
    if (outputs === 'states') context.embed(this.whole.rows);
    else context.decode(this.whole.rows);
    this.whole.clear();
    this.whole.check();
    return firstRows;
  }

  private shareOut(chunks: readonly Chunk[]): LanePart[][] | undefined {
    const { lanes } = this.options;
    if (lanes === undefined) return undefined;
    return shareOut(chunks, {
      lanes: lanes.lanes.length,
      rows: lanes.lanes[0].context.batchSize - MAX_ROW_PADDING,
      sequences: lanes.maxSequences,
      leastRows: this.options.leastLaneRows ?? lanes.leastRows,
    });
  }

  private computeInLanes(shares: readonly LanePart[][], count: number): { context: LlamaContext; row: number }[] {
    const last = new Array<{ context: LlamaContext; row: number }>(count);
    const decodes = this.lanes.map((lane, i) => {
      const parts = shares[i];
      const firstRows = lane.begin(
        parts.map(({ chunk }) => chunk),
        'last-logits',
      );
      // Of a chunk in several lanes, the last one has its end.
      for (const [k, { index, chunk }] of parts.entries()) {
        last[index] = { context: lane.context, row: firstRows[k] + chunk.count - 1 };
      }
      return lane.context.prepare(lane.rows);
    });
    decodeTogether(decodes, (llamaDecode, calls) => this.options.lanes!.attention.compute(llamaDecode, calls));
    for (const lane of this.lanes) lane.clear();
    for (const lane of this.lanes) lane.check();
    return last;
  }

  private copyBlock(source: number, target: number): void {
    const { pagesPerBlock } = this;
    for (let i = 0; i < pagesPerBlock; i++) {
      this.options.attention.copyPage(source * pagesPerBlock + i, target * pagesPerBlock + i);
    }
  }
}
