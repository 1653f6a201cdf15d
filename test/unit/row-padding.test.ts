import { describe, expect, it } from 'vitest';
import { fillTiles, leastRowPadding, padTo } from '../../src/engine/row-padding.js';

const counts = Array.from({ length: 600 }, (_, rows) => rows);

describe('filling tiles with padding rows', () => {
  it('rounds up where leftover rows would cost more than padding', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 17, 30, 45].map(fillTiles)).toEqual([
      1, 2, 3, 4, 5, 8, 8, 8, 9, 16, 16, 17, 32, 48,
    ]);
  });

  it('never computes fewer rows, or less for more', () => {
    for (const rows of counts) {
      expect(fillTiles(rows)).toBeGreaterThanOrEqual(rows);
      expect(fillTiles(rows)).toBeLessThanOrEqual(padTo(rows, 4));
      expect(fillTiles(rows)).toBeLessThanOrEqual(fillTiles(rows + 1));
    }
  });
});

it.each([
  ['Q4_0', 1],
  ['Q8_0', 1],
  ['Q6_K', 1],
  ['Q5_K_M', 1],
  ['Q4_K_M', 4],
  ['Q2_K', 4],
  ['F16', 4],
  ['BF16', 4],
  ['IQ4_XS', 8],
])('%s weights are known to need rows padded to %i', (ftypeName, padding) => {
  expect(leastRowPadding(ftypeName)).toBe(padding);
});
