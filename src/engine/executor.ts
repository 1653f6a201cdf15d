import { PAGE_TOKENS, type PagedAttention } from '../attention/index.js';
import type { BlockCopy } from '../kvcache/index.js';
import { LlamaBatch, type LlamaContext } from '../llama/index.js';
import { type Piece, planBatches, type RowReader, readRows } from './row-batches.js';
import { fillTiles, padTo } from './row-padding.js';

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

export interface ExecutorOptions {
  context: LlamaContext;
  attention: PagedAttention;
  /** Tokens per block, a multiple of the kernel's page. */
  blockSize: number;
  /** Page that no block contains, for the keys and values of padding rows. */
  scratchPage: number;
  /** Rows and logits of a step are padded to a multiple of this. */
  rowPadding: number;
  /** Whether to fill tiles of rows where that is faster; see row-padding.ts. */
  fillsTiles?: boolean;
}

/** Most rows that padding can add. */
export const MAX_ROW_PADDING = 8;

/**
 * Computes one step: all chunks in one `llama_decode`, with attention over our pages; those with a reader in others before
 * it. Arrays are filled in place and reused from step to step.
 */
export class Executor {
  private readonly options: ExecutorOptions;
  private readonly batch: LlamaBatch;
  private readonly slots: Int32Array;
  private readonly tableOffsets: Int32Array;
  private tables = new Int32Array(4096);
  private readonly pagesPerBlock: number;
  /** Row of each chunk's logits in the last step. */
  private lastRows: number[] = [];

  constructor(options: ExecutorOptions) {
    this.options = options;
    const capacity = options.context.batchSize;
    this.batch = new LlamaBatch(capacity);
    this.slots = new Int32Array(new ArrayBuffer(4 * capacity));
    this.tableOffsets = new Int32Array(new ArrayBuffer(4 * capacity));
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
    for (const batch of batches) readRows(context, batch, this.compute(batch.pieces, batch.kind));
    this.lastRows = new Array<number>(chunks.length).fill(-1);
    if (rest.length === 0) return;
    const firstRows = this.compute(rest, 'last-logits');
    for (const [i, { chunk, index }] of rest.entries()) this.lastRows[index] = firstRows[i] + chunk.count - 1;
  }

  /** Logits of chunk `index` of the last step, [vocabSize]: a view that the next step overwrites. */
  logits(index: number): Float32Array {
    return this.options.context.logits(this.lastRows[index]);
  }

  /** Decodes these pieces for the logits they want, or for something of all rows. Returns the first row of each. */
  private compute(pieces: readonly Piece[], outputs: RowReader['kind'] | 'last-logits'): number[] {
    const { attention, context } = this.options;
    const chunks = pieces.map(({ chunk }) => chunk);
    const { firstRows, tableEnd } = this.fill(chunks, outputs === 'logits');
    const tables = this.tables.subarray(0, tableEnd);
    attention.beginStep(this.batch.length, this.batch.positions, this.slots, this.tableOffsets, tables);
    if (outputs === 'states') context.embed(this.batch);
    else context.decode(this.batch);
    // llama.cpp's own cache is a formality: empty before each step, so that positions may start anywhere.
    context.clearMemory();
    const problem = attention.takeError();
    if (problem !== undefined) throw new Error(`paged attention: ${problem}`);
    return firstRows;
  }

  /** Returns the first row of each chunk, and where the page tables end. */
  private fill(chunks: readonly Chunk[], everyLogits: boolean): { firstRows: number[]; tableEnd: number } {
    const { batch } = this;
    // Sequences that share a prefix share its first block: side by side, the kernel walks their common pages once.
    const order = chunks.map((_, index) => index).sort((a, b) => chunks[a].blocks[0] - chunks[b].blocks[0] || a - b);
    const firstRows = new Array<number>(chunks.length);
    let row = 0;
    let outputs = 0;
    let tableEnd = 0;
    for (const [sequence, index] of order.entries()) {
      const { tokens, start, count, wantsLogits } = chunks[index];
      const table = tableEnd;
      tableEnd = this.writeTable(table, chunks[index]);
      firstRows[index] = row;
      for (let position = start; position < start + count; position++, row++) {
        const page = this.tables[table + Math.floor(position / PAGE_TOKENS)];
        this.writeRow(row, tokens[position], position, sequence, table, page);
        if (everyLogits) {
          batch.wantsLogits[row] = 1;
          outputs++;
        }
      }
      if (wantsLogits) {
        batch.wantsLogits[row - 1] = 1;
        outputs++;
      }
    }
    batch.length = this.pad(row, outputs, order.length, tableEnd);
    // The scratch page's table comes last.
    return { firstRows, tableEnd: tableEnd + 1 };
  }

  private writeRow(row: number, token: number, position: number, sequence: number, table: number, page: number): void {
    const { batch } = this;
    batch.tokens[row] = token;
    batch.positions[row] = position;
    batch.sequenceIds[row] = sequence;
    batch.wantsLogits[row] = 0;
    this.tableOffsets[row] = table;
    this.slots[row] = page * PAGE_TOKENS + (position % PAGE_TOKENS);
  }

  /** Writes a chunk's block table as pages, as far as its positions reach. Returns the table's end. */
  private writeTable(offset: number, { start, count, blocks }: Chunk): number {
    const pages = Math.ceil((start + count) / PAGE_TOKENS);
    if (offset + pages + 1 > this.tables.length) {
      const grown = new Int32Array((offset + pages + 1) * 2);
      grown.set(this.tables);
      this.tables = grown;
    }
    const { pagesPerBlock, tables } = this;
    for (let i = 0; i < pages; i++) {
      tables[offset + i] = blocks[Math.floor(i / pagesPerBlock)] * pagesPerBlock + (i % pagesPerBlock);
    }
    return offset + pages;
  }

  /**
   * Fills rows and outputs up, since some matmul kernels compute leftover rows otherwise, or slower: extra rows belong
   * to a sequence of their own in the scratch page, extra outputs are rows that had none. Returns the number of rows.
   */
  private pad(rows: number, outputs: number, sequence: number, table: number): number {
    const { scratchPage } = this.options;
    this.tables[table] = scratchPage;
    const paddedRows = this.padded(rows);
    for (let row = rows; row < paddedRows; row++) this.writeRow(row, 0, row - rows, sequence, table, scratchPage);
    let missing = this.padded(outputs) - outputs;
    const { wantsLogits } = this.batch;
    for (let row = paddedRows - 1; missing > 0; row--) {
      if (wantsLogits[row] === 1) continue;
      wantsLogits[row] = 1;
      missing--;
    }
    return paddedRows;
  }

  private padded(rows: number): number {
    const { rowPadding, fillsTiles } = this.options;
    return padTo(fillsTiles ? fillTiles(rows) : rows, rowPadding);
  }

  private copyBlock(source: number, target: number): void {
    const { pagesPerBlock } = this;
    for (let i = 0; i < pagesPerBlock; i++) {
      this.options.attention.copyPage(source * pagesPerBlock + i, target * pagesPerBlock + i);
    }
  }
}
