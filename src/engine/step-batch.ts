import { PAGE_TOKENS, type StepAttention } from '../attention/index.js';
import { LlamaBatch, type LlamaContext } from '../llama/index.js';
import type { Chunk } from './executor.js';
import type { RowReader } from './row-batches.js';
import { fillTiles, padTo } from './row-padding.js';

export interface StepBatchOptions {
  context: LlamaContext;
  attention: StepAttention;
  /** Tokens per block, a multiple of the kernel's page. */
  blockSize: number;
  /** Page that no block contains, for the keys and values of padding rows. */
  scratchPage: number;
  /** Rows and logits of a step are padded to a multiple of this. */
  rowPadding: number;
  /** Whether to fill tiles of rows where that is faster; see row-padding.ts. */
  fillsTiles?: boolean;
}

/** What is wanted of a step: logits where chunks want them, or logits or hidden states of all rows. */
export type StepOutputs = 'last-logits' | RowReader['kind'];

/** Most rows that padding can add. */
export const MAX_ROW_PADDING = 8;

/** What one context computes in a step. Arrays are filled in place and reused from step to step. */
export class StepBatch {
  readonly context: LlamaContext;
  readonly rows: LlamaBatch;
  private readonly options: StepBatchOptions;
  private readonly slots: Int32Array;
  private readonly tableOffsets: Int32Array;
  private tables = new Int32Array(4096);
  private readonly pagesPerBlock: number;

  constructor(options: StepBatchOptions) {
    this.options = options;
    this.context = options.context;
    const capacity = options.context.batchSize;
    this.rows = new LlamaBatch(capacity);
    this.slots = new Int32Array(new ArrayBuffer(4 * capacity));
    this.tableOffsets = new Int32Array(new ArrayBuffer(4 * capacity));
    this.pagesPerBlock = options.blockSize / PAGE_TOKENS;
  }

  /** Fills in these chunks and announces them to the kernel. Returns the first row of each. */
  begin(chunks: readonly Chunk[], outputs: StepOutputs): number[] {
    const { attention } = this.options;
    const { firstRows, tableEnd } = this.fill(chunks, outputs === 'logits');
    const tables = this.tables.subarray(0, tableEnd);
    attention.beginStep(this.rows.length, this.rows.positions, this.slots, this.tableOffsets, tables);
    if (outputs !== 'states') attention.expectOutputs(this.rows.wantsLogits);
    return firstRows;
  }

  /** llama.cpp's own cache is a formality: empty before each step, so that positions may start anywhere. */
  clear(): void {
    this.context.clearMemory();
  }

  /** To be called after the decode. @throws Error when the graph had an attention that the kernel cannot compute */
  check(): void {
    const problem = this.options.attention.takeError();
    if (problem !== undefined) throw new Error(`paged attention: ${problem}`);
  }

  /** Returns the first row of each chunk, and where the page tables end. */
  private fill(chunks: readonly Chunk[], everyLogits: boolean): { firstRows: number[]; tableEnd: number } {
    const { rows } = this;
    const firstRows = new Array<number>(chunks.length);
    let row = 0;
    let outputs = 0;
    let tableEnd = 0;
    for (const [sequence, index] of inOrderOfBlocks(chunks).entries()) {
      const { tokens, start, count, wantsLogits } = chunks[index];
      const table = tableEnd;
      tableEnd = this.writeTable(table, chunks[index]);
      firstRows[index] = row;
      for (let position = start; position < start + count; position++, row++) {
        const page = this.tables[table + Math.floor(position / PAGE_TOKENS)];
        this.writeRow(row, tokens[position], position, sequence, table, page);
        if (everyLogits) {
          rows.wantsLogits[row] = 1;
          outputs++;
        }
      }
      if (wantsLogits) {
        rows.wantsLogits[row - 1] = 1;
        outputs++;
      }
    }
    rows.length = this.pad(row, outputs, chunks.length, tableEnd);
    // The scratch page's table comes last.
    return { firstRows, tableEnd: tableEnd + 1 };
  }

  private writeRow(row: number, token: number, position: number, sequence: number, table: number, page: number): void {
    const { rows } = this;
    rows.tokens[row] = token;
    rows.positions[row] = position;
    rows.sequenceIds[row] = sequence;
    rows.wantsLogits[row] = 0;
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
    const { wantsLogits } = this.rows;
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
}

/**
 * Indices of chunks by their first block: sequences that share a prefix share it, and side by side, the kernel walks their
 * common pages once.
 */
export function inOrderOfBlocks(chunks: readonly Chunk[]): number[] {
  return chunks.map((_, index) => index).sort((a, b) => chunks[a].blocks[0] - chunks[b].blocks[0] || a - b);
}
