import type { BlockJournal, JournalEntry } from './block-journal.js';
import { BlockPool } from './block-pool.js';
import type { BlockTable } from './block-table.js';
import { PrefixIndex } from './prefix-index.js';

/** Contents of block `source` must be copied to block `target` before the step writes. */
export interface BlockCopy {
  source: number;
  target: number;
}

export interface KVCacheOptions {
  numBlocks: number;
  /** Tokens per block. */
  blockSize: number;
  enablePrefixCaching: boolean;
  /** Where full blocks are written down; what it has from an earlier process is taken over. */
  journal?: BlockJournal;
}

/**
 * Gives blocks to sequences, shares them between sequences with a common prefix, and keeps the contents of freed blocks
 * findable until they are reused. It keeps the books only: the memory itself is elsewhere.
 *
 * Life of a table: {@link createTable}, {@link adoptCached} for what others computed, then for each step
 * {@link reserve} before and {@link commit} after, and {@link release} at the end (or at preemption).
 */
export class KVCache {
  readonly numBlocks: number;
  readonly blockSize: number;
  readonly enablePrefixCaching: boolean;
  private readonly pool: BlockPool;
  private readonly index: PrefixIndex;
  private readonly journal: BlockJournal | undefined;
  /** Blocks that are free and indexed. */
  private cachedFree = 0;
  /** Blocks of an earlier process that nobody has looked into yet. */
  private readonly unverified = new Set<number>();

  constructor(options: KVCacheOptions) {
    this.numBlocks = options.numBlocks;
    this.blockSize = options.blockSize;
    this.enablePrefixCaching = options.enablePrefixCaching;
    this.pool = new BlockPool(options.numBlocks);
    this.index = new PrefixIndex(options.numBlocks, options.blockSize);
    this.journal = options.enablePrefixCaching ? options.journal : undefined;
    for (const entry of this.journal?.recover() ?? []) this.recover(entry);
  }

  /** Blocks that can be taken now, cached contents included. */
  get freeBlocks(): number {
    return this.pool.freeCount;
  }

  /** Free blocks whose contents can still be found. */
  get cachedBlocks(): number {
    return this.cachedFree;
  }

  createTable(salt: string): BlockTable {
    return { blocks: [], keys: [PrefixIndex.rootKey(salt)], computed: 0 };
  }

  /** Blocks that `tokens` positions take. */
  blocksFor(tokens: number): number {
    return Math.ceil(tokens / this.blockSize);
  }

  /**
   * Chain key of full block `i` of a sequence with these tokens; keys are computed once and kept in the table.
   * @param tokens the sequence's tokens, at least (i + 1) · blockSize of them
   */
  blockKey(table: BlockTable, tokens: Int32Array, i: number): string {
    for (let j = table.keys.length; j <= i + 1; j++) {
      table.keys.push(this.index.childKey(table.keys[j - 1], tokens, (j - 1) * this.blockSize));
    }
    return table.keys[i + 1];
  }

  /**
   * Takes cached blocks for the positions after `table.computed`, as long as there are any and their end is at most
   * `limit`. Only on a block boundary, with no block reserved ahead. Returns the number of tokens gained.
   */
  adoptCached(table: BlockTable, tokens: Int32Array, limit: number): number {
    const before = table.computed;
    if (!this.enablePrefixCaching || table.blocks.length * this.blockSize !== before) return 0;
    while (table.computed + this.blockSize <= limit) {
      const key = this.blockKey(table, tokens, table.blocks.length);
      const block = this.index.find(key, tokens, table.computed);
      if (block === undefined || !this.isSound(block)) break;
      if (this.pool.referenceCount(block) === 0) this.cachedFree--;
      this.pool.retain(block);
      table.blocks.push(block);
      table.computed += this.blockSize;
    }
    return table.computed - before;
  }

  /** New blocks that {@link reserve} would take, a copy of a shared last block included. */
  blocksToReserve(table: BlockTable, end: number): number {
    const fresh = Math.max(0, this.blocksFor(end) - table.blocks.length);
    return fresh + (this.writesSharedBlock(table, end) ? 1 : 0);
  }

  /**
   * Makes positions [computed, end) writable: appends blocks, and replaces a partly filled last block that other tables
   * share by one of its own (copy-on-write). Returns the copy to do first, `'none'`, or undefined when too few blocks
   * are free; then nothing has changed.
   */
  reserve(table: BlockTable, end: number): BlockCopy | 'none' | undefined {
    if (this.blocksToReserve(table, end) > this.pool.freeCount) return undefined;
    let copy: BlockCopy | 'none' = 'none';
    if (this.writesSharedBlock(table, end)) {
      const last = Math.floor(table.computed / this.blockSize);
      copy = { source: table.blocks[last], target: this.take() };
      // Somebody else still holds the source, so it cannot be reused before the copy is made.
      this.drop(copy.source);
      table.blocks[last] = copy.target;
    }
    while (table.blocks.length * this.blockSize < end) table.blocks.push(this.take());
    return copy;
  }

  /** Positions up to `end` are computed; blocks that became full can be found by others from now on. */
  commit(table: BlockTable, tokens: Int32Array, end: number): void {
    const firstFull = Math.floor(table.computed / this.blockSize);
    table.computed = end;
    if (!this.enablePrefixCaching) return;
    for (let i = firstFull; (i + 1) * this.blockSize <= end; i++) {
      const [block, start] = [table.blocks[i], i * this.blockSize];
      const key = this.blockKey(table, tokens, i);
      if (!this.index.insert(block, key, tokens, start) || this.journal === undefined) continue;
      const own = tokens.subarray(start, start + this.blockSize);
      this.journal.write({ block, key, parent: table.keys[i], tokens: own });
    }
  }

  /** A second table over the same blocks. Whoever first writes into the partly filled last one gets a copy of it. */
  fork(table: BlockTable): BlockTable {
    for (const block of table.blocks) this.pool.retain(block);
    return { blocks: [...table.blocks], keys: [...table.keys], computed: table.computed };
  }

  /** Gives all blocks back. Later ones first: a prefix outlives what hangs on it. */
  release(table: BlockTable): void {
    for (let i = table.blocks.length - 1; i >= 0; i--) this.drop(table.blocks[i]);
    table.blocks.length = 0;
    table.computed = 0;
  }

  /** The contents of these blocks are gone: nobody finds them from now on. Tables keep the blocks that they have. */
  forget(blocks: Iterable<number>): void {
    for (const block of blocks) {
      if (!this.index.has(block)) continue;
      this.unindex(block);
      if (this.pool.referenceCount(block) > 0) continue;
      this.cachedFree--;
      // To the front of the free queue, so that it is reused before blocks that are still of use.
      this.pool.retain(block);
      this.pool.release(block, false);
    }
  }

  /**
   * Compares the books with all tables there are.
   * @throws Error naming the first contradiction: a leaked, oversold or double-freed block
   */
  check(tables: Iterable<BlockTable>): void {
    const expected = new Int32Array(this.numBlocks);
    for (const table of tables) {
      for (const block of table.blocks) expected[block]++;
      if (table.computed > table.blocks.length * this.blockSize)
        throw new Error('a table has fewer blocks than tokens');
    }
    const free = new Uint8Array(this.numBlocks);
    let freeCount = 0;
    let cached = 0;
    for (const block of this.pool.freeBlocks()) {
      if (free[block]) throw new Error(`block ${block} is in the free queue twice`);
      free[block] = 1;
      freeCount++;
      if (this.index.has(block)) cached++;
    }
    for (let block = 0; block < this.numBlocks; block++) {
      const references = this.pool.referenceCount(block);
      if (references !== expected[block]) {
        throw new Error(`block ${block} has ${references} references, but ${expected[block]} tables name it`);
      }
      if ((references === 0) !== (free[block] === 1)) throw new Error(`block ${block} is lost: neither used nor free`);
    }
    if (freeCount !== this.pool.freeCount) throw new Error(`free queue: ${freeCount}, counted ${this.pool.freeCount}`);
    if (cached !== this.cachedFree) throw new Error(`cached blocks: ${cached}, counted ${this.cachedFree}`);
    this.index.check();
  }

  private writesSharedBlock(table: BlockTable, end: number): boolean {
    if (end <= table.computed || table.computed % this.blockSize === 0) return false;
    return this.pool.referenceCount(table.blocks[Math.floor(table.computed / this.blockSize)]) > 1;
  }

  private take(): number {
    const block = this.pool.acquire();
    if (this.index.has(block)) {
      this.unindex(block);
      this.cachedFree--;
    }
    return block;
  }

  private unindex(block: number): void {
    this.index.remove(block);
    this.unverified.delete(block);
    this.journal?.erase(block);
  }

  /** Makes a block of an earlier process findable. Whoever finds it first looks whether it is as it was left. */
  private recover({ block, key, parent, tokens }: JournalEntry): void {
    const isWhole = this.index.childKey(parent, tokens, 0) === key;
    if (!isWhole || !this.index.insert(block, key, tokens, 0)) {
      this.journal?.erase(block);
      return;
    }
    this.unverified.add(block);
    this.pool.retain(block);
    this.drop(block);
  }

  private isSound(block: number): boolean {
    if (!this.unverified.has(block)) return true;
    if (this.journal!.isSound(block)) {
      this.unverified.delete(block);
      return true;
    }
    this.forget([block]);
    return false;
  }

  private drop(block: number): void {
    const keep = this.index.has(block);
    this.pool.release(block, keep);
    if (keep && this.pool.referenceCount(block) === 0) this.cachedFree++;
  }
}
