import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Chunk } from '../../src/engine/executor.js';
import { planBatches, type RowReader } from '../../src/engine/row-batches.js';

const chunkOf = (start: number, count: number, wantsLogits: boolean, kind?: RowReader['kind']): Chunk => ({
  tokens: new Int32Array(start + count),
  start,
  count,
  blocks: [],
  wantsLogits,
  ...(kind && { reader: { kind, take() {} } }),
});

const anyChunk = fc
  .record({
    start: fc.nat(20),
    count: fc.integer({ min: 1, max: 30 }),
    wantsLogits: fc.boolean(),
    kind: fc.constantFrom(undefined, 'states' as const, 'logits' as const),
  })
  .map(({ start, count, wantsLogits, kind }) => chunkOf(start, count, wantsLogits, kind));

describe('the batches of a step', () => {
  it('have every row once, in order within its chunk, no batch more than fit, and sampled rows last', () => {
    fc.assert(
      fc.property(fc.array(anyChunk, { maxLength: 10 }), fc.integer({ min: 1, max: 16 }), (chunks, most) => {
        const { batches, rest } = planBatches(chunks, most);
        const next = chunks.map(({ start }) => start);
        for (const { kind, pieces } of batches) {
          expect(pieces.reduce((sum, { chunk }) => sum + chunk.count, 0)).toBeLessThanOrEqual(most);
          expect(new Set(pieces.map(({ index }) => index)).size).toBe(pieces.length);
          for (const { chunk, index } of pieces) {
            expect(chunks[index].reader?.kind).toBe(kind);
            expect(chunk.start).toBe(next[index]);
            next[index] += chunk.count;
          }
        }
        for (const { chunk, index } of rest) {
          expect(chunk.start).toBe(next[index]);
          expect(chunk.wantsLogits).toBe(chunks[index].wantsLogits);
          next[index] += chunk.count;
        }
        expect(next).toEqual(chunks.map(({ start, count }) => start + count));
        const sampled = chunks.flatMap(({ wantsLogits }, index) => (wantsLogits ? [index] : []));
        expect(rest.filter(({ chunk }) => chunk.wantsLogits).map(({ index }) => index)).toEqual(sampled);
      }),
    );
  });

  it('are as few as can be', () => {
    const chunks = [chunkOf(0, 5, false, 'states'), chunkOf(3, 1, true), chunkOf(7, 5, false, 'states')];
    const { batches, rest } = planBatches(chunks, 4);
    expect(batches.map(({ pieces }) => pieces.map(({ chunk, index }) => [index, chunk.start, chunk.count]))).toEqual([
      [[0, 0, 4]],
      [
        [0, 4, 1],
        [2, 7, 3],
      ],
      [[2, 10, 2]],
    ]);
    expect(rest).toEqual([{ chunk: chunks[1], index: 1 }]);
  });
});
