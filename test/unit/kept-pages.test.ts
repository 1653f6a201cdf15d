import { describe, expect, it } from 'vitest';
import { KeptPages } from '../../src/engine/kept-pages.js';
import { type BlockTable, KVCache } from '../../src/kvcache/index.js';
import { createSharedPages } from '../support/shared-pages.js';

const BLOCK = 16;
const PAGE_BYTES = 64;
const NUM_BLOCKS = 6;

const tokens = (blocks: number, seed = 0): Int32Array =>
  Int32Array.from({ length: blocks * BLOCK }, (_, i) => seed + i);

/** Engines that come one after the other, each with the memory of the one before. */
function lineage() {
  const shared = createSharedPages(PAGE_BYTES);
  return {
    shared,
    open({
      descriptor,
      identity = 'model',
      numBlocks = NUM_BLOCKS,
    }: Partial<Parameters<typeof KeptPages.open>[0]> = {}) {
      const attention = shared.attention(numBlocks);
      const kept = KeptPages.open({ attention, descriptor, numBlocks, blockSize: BLOCK, identity })!;
      const cache = new KVCache({ numBlocks, blockSize: BLOCK, enablePrefixCaching: true, journal: kept });
      return { kept, cache };
    },
  };
}

/** Computes a sequence that shares what it can. */
function compute({ cache }: { cache: KVCache }, sequence: Int32Array, salt = ''): BlockTable {
  const table = cache.createTable(salt);
  cache.adoptCached(table, sequence, sequence.length);
  cache.reserve(table, sequence.length);
  cache.commit(table, sequence, sequence.length);
  return table;
}

/** Blocks of the sequence's beginning that can be found. */
function found({ cache }: { cache: KVCache }, sequence: Int32Array, salt = ''): number[] {
  const table = cache.createTable(salt);
  cache.adoptCached(table, sequence, sequence.length);
  const blocks = [...table.blocks];
  cache.check([table]);
  cache.release(table);
  cache.check([]);
  return blocks;
}

describe('page memory that outlives the engine', () => {
  it('gives the next engine the blocks of the last one, whether they were in use or not', () => {
    const { open } = lineage();
    const first = open();
    const running = compute(first, tokens(3));
    const ended = compute(first, tokens(2, 1000), 'tenant');
    const blocks = [...ended.blocks];
    first.cache.release(ended);
    const next = open({ descriptor: first.kept.descriptor });
    expect(next.kept.recovered).toBe(5);
    expect(next.cache.cachedBlocks).toBe(5);
    expect(found(next, tokens(3))).toEqual(running.blocks);
    expect(found(next, tokens(2, 1000), 'tenant')).toEqual(blocks);
    expect(found(next, tokens(2, 1000))).toEqual([]);
    const afterThat = open({ descriptor: next.kept.descriptor });
    expect(found(afterThat, tokens(3))).toEqual(running.blocks);
  });

  it('has no partly filled block, and none that was given to somebody else since', () => {
    const { open } = lineage();
    const first = open();
    first.cache.release(compute(first, tokens(4)));
    const other = compute(first, tokens(3, 500).subarray(0, 3 * BLOCK - 1));
    const next = open({ descriptor: first.kept.descriptor });
    expect(found(next, tokens(3, 500))).toEqual(other.blocks.slice(0, 2));
    expect(found(next, tokens(4))).toHaveLength(3);
  });

  it('has nothing of a block whose bytes are not those that were written down, nor of what follows', () => {
    const { open, shared } = lineage();
    const first = open();
    const { blocks } = compute(first, tokens(4));
    shared.memories[0]!.pages[blocks[2]! * PAGE_BYTES + 5]! ^= 1;
    const next = open({ descriptor: first.kept.descriptor });
    expect(found(next, tokens(4))).toEqual(blocks.slice(0, 2));
    const again = compute(next, tokens(4));
    expect(again.blocks.slice(0, 2)).toEqual(blocks.slice(0, 2));
    expect(found(open({ descriptor: next.kept.descriptor }), tokens(4))).toEqual(
      // The last one was sound, and findable again behind the one that was computed anew.
      [...again.blocks.slice(0, 3), blocks[3]],
    );
  });

  it('does not believe a journal that something has written over', () => {
    const { open, shared } = lineage();
    const first = open();
    const { blocks } = compute(first, tokens(3));
    const { tail } = shared.memories[0]!;
    const journal = tail.slice();
    for (let at = 64; at < tail.length; at++) {
      tail.set(journal);
      tail[at]! ^= 255;
      const next = open({ descriptor: first.kept.descriptor });
      const left = found(next, tokens(3));
      expect(blocks.slice(0, left.length)).toEqual(left);
      next.cache.check([]);
    }
  });

  it('is of no use for another model, another kernel or another number of blocks', () => {
    const { open } = lineage();
    const first = open();
    compute(first, tokens(3));
    const { descriptor } = first.kept;
    const larger = open({ descriptor, numBlocks: NUM_BLOCKS + 1 });
    expect(larger.kept.descriptor).not.toBe(descriptor);
    expect(larger.kept.recovered).toBe(0);
    const other = open({ descriptor, identity: 'another' });
    expect(other.kept.recovered).toBe(0);
    expect(found(other, tokens(3))).toEqual([]);
    expect(open({ descriptor }).kept.recovered).toBe(0);
  });

  it('is reused where it was used least recently, ends before beginnings', () => {
    const { open } = lineage();
    const first = open();
    const begun = compute(first, tokens(2));
    const other = compute(first, tokens(2, 700));
    // The first one goes on.
    first.cache.reserve(begun, 3 * BLOCK);
    first.cache.commit(begun, tokens(3), 3 * BLOCK);
    const next = open({ descriptor: first.kept.descriptor });
    const table = next.cache.createTable('');
    const order: number[] = [];
    for (let i = 1; i <= NUM_BLOCKS; i++) {
      next.cache.reserve(table, i * BLOCK);
      order.push(table.blocks[i - 1]!);
    }
    expect(order.slice(1)).toEqual([...other.blocks.toReversed(), ...begun.blocks.toReversed()]);
  });
});
