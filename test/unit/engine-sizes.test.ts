import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseSizes, SizeError } from '../../src/engine/sizes.js';
import { engineConfig } from '../support/engine-requests.js';

const facts = { trainContextLength: 8192, bytesPerToken: 23_040, availableMemory: 16e9, cores: 4 };

describe('chooseSizes', () => {
  it('gives every slot room at full length when memory is plenty', () => {
    const sizes = chooseSizes(engineConfig({ maxNumSeqs: 8 }), { ...facts, availableMemory: 1e12 });
    expect(sizes).toMatchObject({ threads: 4, maxModelLen: 8192, numBlocks: (8 * 8192) / 16 });
  });

  it('never takes more memory than asked for, or than its share, and one sequence always fits', () => {
    const config = fc.record({
      maxModelLen: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 8192 })),
      maxNumSeqs: fc.integer({ min: 1, max: 255 }),
      blockSize: fc.constantFrom(16, 32, 64),
      kvCacheBytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2_000_000_000 })),
    });
    fc.assert(
      fc.property(config, fc.integer({ min: 1, max: 100_000_000_000 }), (config, availableMemory) => {
        let sizes: ReturnType<typeof chooseSizes>;
        try {
          sizes = chooseSizes(engineConfig(config), { ...facts, availableMemory });
        } catch (error) {
          expect(error).toBeInstanceOf(SizeError);
          return;
        }
        expect(sizes.kvCacheBytes).toBeLessThanOrEqual(config.kvCacheBytes || availableMemory * 0.25);
        expect(sizes.maxModelLen).toBeLessThanOrEqual(sizes.numBlocks * sizes.blockSize);
        if (config.maxModelLen) expect(sizes.maxModelLen).toBe(config.maxModelLen);
      }),
    );
  });

  it.each([
    [{ maxNumSeqs: 256 }, '--max-num-seqs'],
    [{ maxNumSeqs: 64, maxNumBatchedTokens: 63 }, '--max-num-batched-tokens'],
    [{ maxModelLen: 8193 }, '--max-model-len'],
    [{ kvCacheBytes: 1000 }, '--kv-cache-memory'],
    [{ kvCacheBytes: 100_000_000, maxModelLen: 8000 }, '--kv-cache-memory'],
  ])('refuses %o and names %s', (config, flag) => {
    try {
      chooseSizes(engineConfig(config), facts);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(SizeError);
      expect((error as SizeError).hint).toContain(flag);
    }
  });
});
