import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { philox4x32, uniform } from '../../src/engine/random.js';

describe('philox4x32', () => {
  // Known answers of the Random123 library (kat_vectors).
  it.each([
    { counter: [0, 0, 0, 0], key: [0, 0], expected: [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8] },
    {
      counter: [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      key: [0xffffffff, 0xffffffff],
      expected: [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    },
    {
      counter: [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      key: [0xa4093822, 0x299f31d0],
      expected: [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    },
  ])('gives the published numbers for key $key', ({ counter, key, expected }) => {
    expect(philox4x32(counter, key)).toEqual(expected);
  });
});

describe('uniform', () => {
  it('lies in [0, 1) and depends on seed, choice and position alone', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), fc.nat(300), fc.nat(1 << 20), (seed, choice, position) => {
        const u = uniform(seed, choice, position);
        expect(u).toBeGreaterThanOrEqual(0);
        expect(u).toBeLessThan(1);
        expect(uniform(seed, choice, position)).toBe(u);
        expect(uniform(seed, choice, position + 1)).not.toBe(u);
        expect(uniform(seed, choice + 1, position)).not.toBe(u);
        expect(uniform(seed === 0 ? 1 : -seed, choice, position)).not.toBe(u);
      }),
    );
  });

  it('is spread evenly', () => {
    const bins = new Array<number>(16).fill(0);
    for (let position = 0; position < 16_000; position++) bins[Math.floor(uniform(42, 0, position) * 16)]++;
    // 1,000 are expected in each bin, with a standard deviation of 31.
    for (const count of bins) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
