import { createHash } from 'node:crypto';

/**
 * Finds full blocks by what they hold: a chain of hashes, one per block, each over the block's tokens and the hash of
 * the block before it (as in vLLM). The first link hashes a salt, so that tenants with different salts never meet.
 *
 * A hash alone is never trusted: the tokens of a found block are compared with the tokens looked for.
 */
export class PrefixIndex {
  private readonly blockSize: number;
  private readonly blockOf = new Map<string, number>();
  private readonly keyOf: (string | undefined)[];
  /** Tokens of every indexed block, [block][blockSize]. */
  private readonly tokensOf: Int32Array;

  constructor(numBlocks: number, blockSize: number) {
    this.blockSize = blockSize;
    this.keyOf = new Array<string | undefined>(numBlocks).fill(undefined);
    this.tokensOf = new Int32Array(numBlocks * blockSize);
  }

  /** Number of indexed blocks. */
  get size(): number {
    return this.blockOf.size;
  }

  /** Key in front of a sequence's first block. */
  static rootKey(salt: string): string {
    return createHash('sha256').update('quire prefix ').update(salt).digest('base64');
  }

  /** Key of the block that holds `tokens[start … start + blockSize)` after the block (or root) with key `parent`. */
  childKey(parent: string, tokens: Int32Array, start: number): string {
    const bytes = new Uint8Array(tokens.buffer, tokens.byteOffset + start * 4, this.blockSize * 4);
    return createHash('sha256').update(parent).update(bytes).digest('base64');
  }

  /** The block with this key, if it really holds `tokens[start … start + blockSize)`. */
  find(key: string, tokens: Int32Array, start: number): number | undefined {
    const block = this.blockOf.get(key);
    if (block === undefined) return undefined;
    const offset = block * this.blockSize;
    for (let i = 0; i < this.blockSize; i++) if (this.tokensOf[offset + i] !== tokens[start + i]) return undefined;
    return block;
  }

  /**
   * Makes a full block findable. When another block has the key already, that one stays and this one is not indexed.
   * @returns whether it was indexed
   */
  insert(block: number, key: string, tokens: Int32Array, start: number): boolean {
    if (this.blockOf.has(key)) return false;
    this.blockOf.set(key, block);
    this.keyOf[block] = key;
    this.tokensOf.set(tokens.subarray(start, start + this.blockSize), block * this.blockSize);
    return true;
  }

  has(block: number): boolean {
    return this.keyOf[block] !== undefined;
  }

  /** Forgets a block that is about to be overwritten; no effect when it is not indexed. */
  remove(block: number): void {
    const key = this.keyOf[block];
    if (key === undefined) return;
    this.blockOf.delete(key);
    this.keyOf[block] = undefined;
  }

  /** @throws Error when the two directions of the index disagree */
  check(): void {
    let keys = 0;
    this.keyOf.forEach((key, block) => {
      if (key === undefined) return;
      keys++;
      if (this.blockOf.get(key) !== block) throw new Error(`prefix index: block ${block} is not found by its own key`);
    });
    if (keys !== this.blockOf.size) throw new Error(`prefix index: ${this.blockOf.size} keys for ${keys} blocks`);
  }
}
