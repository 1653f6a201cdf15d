/**
 * A fixed set of KV blocks with reference counts and an LRU free queue.
 *
 * The free queue is a doubly linked list threaded through the blocks (vLLM's free block queue), so that taking, freeing
 * and reviving a block are O(1). A freed block keeps its contents: it may be revived by {@link BlockPool.retain} until
 * {@link BlockPool.acquire} hands it to somebody else. Blocks worth keeping are freed to the queue's end and others to
 * its front, so that the least recently used contents are the last to go.
 */
export class BlockPool {
  readonly size: number;
  private readonly references: Int32Array;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  /** The list's sentinel: `next[head]` is reused first, `previous[head]` last. */
  private readonly head: number;
  private free: number;

  /** @param size number of blocks; their ids are 0 … size − 1. */
  constructor(size: number) {
    if (!Number.isInteger(size) || size < 1) throw new RangeError(`a block pool needs at least one block, got ${size}`);
    this.size = size;
    this.head = size;
    this.references = new Int32Array(size);
    this.next = new Int32Array(size + 1);
    this.previous = new Int32Array(size + 1);
    for (let i = 0; i <= size; i++) {
      this.next[i] = i === size ? 0 : i + 1;
      this.previous[i] = i === 0 ? size : i - 1;
    }
    this.free = size;
  }

  /** Blocks in no table, whether or not their contents are still of use. */
  get freeCount(): number {
    return this.free;
  }

  referenceCount(block: number): number {
    return this.references[block];
  }

  /** Takes the free block whose contents are worth least. @throws Error when none is free */
  acquire(): number {
    const block = this.next[this.head];
    if (block === this.head) throw new Error('block pool is empty: callers must check freeCount first');
    this.unlink(block);
    this.references[block] = 1;
    return block;
  }

  /** Adds a reference; a free block is revived with its contents. */
  retain(block: number): void {
    if (this.references[block]++ === 0) this.unlink(block);
  }

  /** Drops a reference. The last one frees the block: to be reused late when `keep`, else next. */
  release(block: number, keep: boolean): void {
    if (this.references[block] <= 0) throw new Error(`block ${block} was released more often than it was taken`);
    if (--this.references[block] > 0) return;
    const after = keep ? this.previous[this.head] : this.head;
    const before = this.next[after];
    this.next[after] = block;
    this.previous[block] = after;
    this.next[block] = before;
    this.previous[before] = block;
    this.free++;
  }

  /** Free blocks, first to be reused first. O(free blocks): for checks and tests. */
  *freeBlocks(): Generator<number> {
    for (let block = this.next[this.head]; block !== this.head; block = this.next[block]) yield block;
  }

  private unlink(block: number): void {
    this.next[this.previous[block]] = this.next[block];
    this.previous[this.next[block]] = this.previous[block];
    this.free--;
  }
}
