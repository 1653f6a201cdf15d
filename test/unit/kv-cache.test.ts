import { describe, expect, it } from 'vitest';
import { KVCache } from '../../src/kvcache/index.js';
import { PrefixIndex } from '../../src/kvcache/prefix-index.js';

const tokens = (...values: number[]): Int32Array => Int32Array.from(values);

function computed(cache: KVCache, sequence: Int32Array, salt = '') {
  const table = cache.createTable(salt);
  cache.adoptCached(table, sequence, sequence.length - 1);
  cache.reserve(table, sequence.length);
  cache.commit(table, sequence, sequence.length);
  return table;
}

describe('the prefix index', () => {
  it('does not trust a key: the tokens must be the same', () => {
    const index = new PrefixIndex(4, 2);
    const key = index.childKey(PrefixIndex.rootKey(''), tokens(1, 2), 0);
    index.insert(3, key, tokens(1, 2), 0);
    expect(index.find(key, tokens(1, 2), 0)).toBe(3);
    expect(index.find(key, tokens(1, 9), 0)).toBeUndefined();
  });

  it('gives the same tokens other keys behind other prefixes and salts', () => {
    const index = new PrefixIndex(4, 2);
    const root = PrefixIndex.rootKey('');
    const keys = [
      index.childKey(root, tokens(5, 6), 0),
      index.childKey(index.childKey(root, tokens(1, 2), 0), tokens(5, 6), 0),
      index.childKey(PrefixIndex.rootKey('tenant'), tokens(5, 6), 0),
    ];
    expect(new Set(keys).size).toBe(3);
  });
});

describe('the KV cache', () => {
  it('shares full blocks by reference and never the last token, whose logits are wanted', () => {
    const cache = new KVCache({ numBlocks: 8, blockSize: 2, enablePrefixCaching: true });
    const prompt = tokens(1, 2, 3, 4);
    const first = computed(cache, prompt);
    const second = cache.createTable('');
    expect(cache.adoptCached(second, prompt, prompt.length - 1)).toBe(2);
    expect(second.blocks).toEqual(first.blocks.slice(0, 1));
    expect(cache.freeBlocks).toBe(6);
    cache.check([first, second]);
  });

  it('copies a shared, partly filled block for the first who writes into it, and for nobody else', () => {
    const cache = new KVCache({ numBlocks: 8, blockSize: 4, enablePrefixCaching: true });
    const parent = computed(cache, tokens(1, 2, 3, 4, 5));
    const fork = cache.fork(parent);
    const shared = parent.blocks[1];
    expect(cache.reserve(fork, 6)).toEqual({ source: shared, target: fork.blocks[1] });
    expect(fork.blocks[0]).toBe(parent.blocks[0]);
    expect(fork.blocks[1]).not.toBe(shared);
    expect(cache.reserve(parent, 6)).toBe('none');
    expect(parent.blocks[1]).toBe(shared);
    cache.check([parent, fork]);
  });

  it('changes nothing when it cannot reserve', () => {
    const cache = new KVCache({ numBlocks: 3, blockSize: 2, enablePrefixCaching: true });
    const table = computed(cache, tokens(1, 2, 3));
    expect(cache.reserve(table, 7)).toBeUndefined();
    expect(table.blocks).toHaveLength(2);
    expect(cache.freeBlocks).toBe(1);
    cache.check([table]);
  });

  it('reuses blocks without contents first, then the least recently used, ends of sequences before their beginnings', () => {
    const cache = new KVCache({ numBlocks: 6, blockSize: 2, enablePrefixCaching: true });
    const old = computed(cache, tokens(1, 1, 2, 2, 3));
    const recent = computed(cache, tokens(7, 7, 8, 8));
    const oldBlocks = [...old.blocks];
    cache.release(old);
    cache.release(recent);
    expect(cache.cachedBlocks).toBe(4);
    const taker = cache.createTable('');
    cache.reserve(taker, 8);
    // Two blocks were never worth keeping; then the end and the beginning of the older sequence.
    expect(taker.blocks.slice(2)).toEqual([oldBlocks[1], oldBlocks[0]]);
    const again = cache.createTable('');
    expect(cache.adoptCached(again, tokens(7, 7, 8, 8, 9), 4)).toBe(4);
    cache.check([taker, again]);
  });

  it('finds the contents of freed blocks until they are reused', () => {
    const cache = new KVCache({ numBlocks: 2, blockSize: 2, enablePrefixCaching: true });
    cache.release(computed(cache, tokens(1, 2, 3)));
    const table = cache.createTable('');
    expect(cache.adoptCached(table, tokens(1, 2, 3), 2)).toBe(2);
    cache.release(table);
    const other = cache.createTable('');
    cache.reserve(other, 4);
    cache.release(other);
    expect(cache.adoptCached(cache.createTable(''), tokens(1, 2, 3), 2)).toBe(0);
  });

  it('finds no contents that were lost, leaves them to tables that have them, and reuses their blocks first', () => {
    const cache = new KVCache({ numBlocks: 6, blockSize: 2, enablePrefixCaching: true });
    const running = computed(cache, tokens(1, 2, 3));
    const ended = computed(cache, tokens(5, 6, 7, 8, 9));
    const [lost, kept] = ended.blocks;
    cache.release(ended);
    cache.forget([lost, running.blocks[0]]);
    cache.check([running]);
    expect([running.blocks.length, cache.cachedBlocks]).toEqual([2, 1]);
    for (const prompt of [tokens(1, 2, 3), tokens(5, 6, 7, 8, 9)]) {
      expect(cache.adoptCached(cache.createTable(''), prompt, prompt.length - 1)).toBe(0);
    }
    const taker = cache.createTable('');
    cache.reserve(taker, 2);
    expect(taker.blocks).toEqual([lost]);
    cache.reserve(taker, 8);
    expect(taker.blocks.at(-1)).toBe(kept);
    cache.check([running, taker]);
  });

  it('notices when its books and the tables disagree', () => {
    const cache = new KVCache({ numBlocks: 4, blockSize: 2, enablePrefixCaching: true });
    const table = computed(cache, tokens(1, 2, 3));
    expect(() => cache.check([])).toThrow(/references/);
    expect(() => cache.check([table, table])).toThrow(/references/);
    cache.check([table]);
  });
});
