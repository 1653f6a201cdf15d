import { describe, expect, it } from 'vitest';
import type { Chunk } from '../../src/engine/executor.js';
import { type LaneLimits, type LanePart, laneCount, leastLaneRows, shareOut } from '../../src/engine/lanes.js';
import { pseudoRandomTokens } from '../support/engine-requests.js';

const LIMITS: LaneLimits = { lanes: 2, rows: 1_000, sequences: 100, leastRows: 16 };

function chunk(start: number, count: number, firstBlock: number): Chunk {
  return { tokens: new Int32Array(start + count), start, count, blocks: [firstBlock], wantsLogits: true };
}

const decodes = (count: number, position = 100) => Array.from({ length: count }, (_, i) => chunk(position, 1, i));

const rowsOf = (parts: LanePart[]) => parts.reduce((sum, part) => sum + part.chunk.count, 0);

describe('lanes', () => {
  it('are as many as can have the same number of threads, at most 8', () => {
    expect([1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 16, 64].map(laneCount)).toEqual([1, 2, 3, 4, 6, 7, 8, 3, 1, 6, 8, 8]);
  });

  it('have more rows where weights are not small', () => {
    expect([90e6, 145e6, 350e6, 8e9].map(leastLaneRows)).toEqual([16, 32, 32, 32]);
  });

  it('share decodes out evenly, neighbours by their first block together', () => {
    const shares = shareOut(decodes(32).reverse(), LIMITS)!;
    expect(shares.map(rowsOf)).toEqual([16, 16]);
    expect(shares.map((parts) => parts.map((part) => part.chunk.blocks[0]))).toEqual([
      Array.from({ length: 16 }, (_, i) => i),
      Array.from({ length: 16 }, (_, i) => 16 + i),
    ]);
  });

  it('share by what decodes cost: long conversations cost more', () => {
    const chunks = [...decodes(16, 8_000), ...decodes(48, 100)];
    const [first, second] = shareOut(chunks, LIMITS)!;
    expect(rowsOf(first!)).toBeLessThan(rowsOf(second!));
  });

  it('cut prompts where a lane is full, and the last part alone wants logits', () => {
    const chunks = [...decodes(20), chunk(512, 200, 90)];
    const shares = shareOut(chunks, LIMITS)!;
    const prompt = shares.flatMap((parts) => parts.filter(({ index }) => index === 20).map((part) => part.chunk));
    expect(prompt.map(({ wantsLogits }) => wantsLogits)).toEqual([false, true]);
    expect(prompt[0]!.start).toBe(512);
    expect(prompt[1]!.start).toBe(512 + prompt[0]!.count);
    expect(prompt[0]!.count + prompt[1]!.count).toBe(200);
    expect(Math.abs(rowsOf(shares[0]!) - rowsOf(shares[1]!))).toBeLessThan(16);
  });

  it('have whole large tiles of rows where that is hardly uneven', () => {
    expect(shareOut([...decodes(32), chunk(20, 192, 90)], LIMITS)!.map(rowsOf)).toEqual([112, 112]);
    expect(shareOut([...decodes(32), chunk(4_000, 192, 90)], LIMITS)!.map(rowsOf)).toEqual([112, 112]);
  });

  it('share a prompt out by what its rows see: those at its end see more', () => {
    for (const start of [0, 512, 4_000]) {
      const [first, second] = shareOut([chunk(start, 512, 0)], LIMITS)!;
      expect(rowsOf(first!)).toBeGreaterThan(rowsOf(second!));
      expect(rowsOf(first!)).toBeLessThan(280);
      expect(rowsOf(first!) + rowsOf(second!)).toBe(512);
    }
  });

  it('are not used for few rows, nor when they have no room, nor when one would wait for another', () => {
    expect(shareOut(decodes(31), LIMITS)).toBeUndefined();
    expect(shareOut(decodes(64), { ...LIMITS, sequences: 20 })).toBeUndefined();
    expect(shareOut([chunk(0, 600, 0)], { ...LIMITS, rows: 200 })).toBeUndefined();
    expect(shareOut([chunk(100_000, 1, 0), ...decodes(40)], LIMITS)).toBeUndefined();
  });

  it('compute each row of any step exactly once, in order, about equally many', () => {
    for (let seed = 0; seed < 300; seed++) {
      const draw = pseudoRandomTokens(60, seed, 1_000);
      const chunks = Array.from({ length: 1 + (draw[0]! % 40) }, (_, i) =>
        chunk(draw[i + 1]! % 700, draw[i + 2]! % 3 === 0 ? 1 + (draw[i + 3]! % 300) : 1, draw[i + 4]!),
      );
      const limits = { lanes: 2 + (seed % 7), rows: 10_000, sequences: 100, leastRows: 8 };
      const shares = shareOut(chunks, limits);
      if (shares === undefined) continue;
      expect(shares).toHaveLength(limits.lanes);
      for (const [index, { start, count }] of chunks.entries()) {
        const parts = shares.flatMap((share) => share.filter((part) => part.index === index));
        let position = start;
        for (const part of parts) {
          expect(part.chunk.start).toBe(position);
          expect(part.chunk.count).toBeGreaterThan(0);
          position += part.chunk.count;
        }
        expect(position).toBe(start + count);
        expect(parts.map((part) => part.chunk.wantsLogits)).toEqual(parts.map((_, i) => i === parts.length - 1));
      }
    }
  });
});
