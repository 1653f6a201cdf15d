import type { KVCache } from '../kvcache/index.js';
import type { Sequence } from './sequence.js';

/**
 * Which blocks of prompts running prefills are going to compute: others with the same prefix wait for them (a slot, but
 * no compute) instead of computing them a second time.
 */
export class PrefixClaims {
  private readonly cache: KVCache;
  /** By the chain keys of blocks. */
  private readonly owners = new Map<string, Sequence>();

  constructor(cache: KVCache) {
    this.cache = cache;
  }

  get size(): number {
    return this.owners.size;
  }

  /**
   * Whether the sequence's next block is going to be computed by another one. No circle of waiting: whoever waits has
   * all blocks before the one it waits for, so the one it waits for can adopt those and is itself free to compute.
   */
  isLeftToOther(sequence: Sequence): boolean {
    const { table, tokens } = sequence;
    if (sequence.computesAll) return false;
    const { first, end } = this.promptBlocksToCompute(sequence);
    if (first >= end) return false;
    const owner = this.owners.get(this.cache.blockKey(table, tokens.array, first));
    return owner !== undefined && owner !== sequence;
  }

  /** Announces the prompt blocks that the sequence is going to compute, as far as nobody else did. */
  claim(sequence: Sequence): void {
    const { first, end } = this.promptBlocksToCompute(sequence);
    if (sequence.claims.length > 0) return;
    for (let i = first; i < end; i++) {
      const key = this.cache.blockKey(sequence.table, sequence.tokens.array, i);
      if (this.owners.has(key)) continue;
      this.owners.set(key, sequence);
      sequence.claims.push({ key, block: i });
    }
  }

  /** Claims whose blocks are computed are fulfilled. */
  settle({ table, claims }: Sequence): void {
    const computedBlocks = Math.floor(table.computed / this.cache.blockSize);
    while (claims.length > 0 && claims[0].block < computedBlocks) this.owners.delete(claims.shift()!.key);
  }

  drop({ claims }: Sequence): void {
    for (const { key } of claims) this.owners.delete(key);
    claims.length = 0;
  }

  /** Full blocks of the prompt that others could share, from the next one on; none in the middle of a block. */
  private promptBlocksToCompute({ table, promptLength }: Sequence): { first: number; end: number } {
    const { blockSize, enablePrefixCaching } = this.cache;
    if (!enablePrefixCaching || table.computed % blockSize !== 0) return { first: 0, end: 0 };
    return { first: table.computed / blockSize, end: Math.floor((promptLength - 1) / blockSize) };
  }
}
