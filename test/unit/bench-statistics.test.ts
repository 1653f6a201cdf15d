import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandom } from '../../bench/random.js';
import { cdf, median, pairedDifference, quantiles, spread } from '../../bench/statistics.js';

/** Without −0, which `toBe` tells from 0. */
const samples = fc.array(
  fc.double({ min: -1e6, max: 1e6, noNaN: true }).map((value) => value + 0),
  { minLength: 1 },
);

describe('quantiles', () => {
  it('interpolate linearly between the closest ranks, in any order of samples', () => {
    expect(quantiles([40, 10, 30, 20], [0, 0.25, 0.5, 0.75, 1])).toEqual([10, 17.5, 25, 32.5, 40]);
  });

  it('of one sample are that sample', () => {
    expect(quantiles([7], [0, 0.5, 0.99, 1])).toEqual([7, 7, 7, 7]);
  });

  it('of no samples are NaN', () => {
    expect(quantiles([], [0.5])).toEqual([Number.NaN]);
  });

  it('outside 0 to 1 are refused', () => {
    expect(() => quantiles([1], [50])).toThrow(new RangeError('a quantile must lie between 0 and 1, not 50'));
  });

  it('do not reorder the caller’s samples', () => {
    const values = [3, 1, 2];
    quantiles(values, [0.5]);
    expect(values).toEqual([3, 1, 2]);
  });

  it('rise with q and stay within the samples', () => {
    fc.assert(
      fc.property(samples, (values) => {
        const [least, low, high, greatest] = quantiles(values, [0, 0.3, 0.8, 1]) as [number, number, number, number];
        expect(least).toBe(Math.min(...values));
        expect(greatest).toBe(Math.max(...values));
        expect(low).toBeLessThanOrEqual(high);
      }),
    );
  });
});

it('the median of an even number of samples lies in the middle of the inner two', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

it('a spread gives median, least and greatest', () => {
  expect(spread([9, 2, 4])).toEqual({ median: 4, min: 2, max: 9 });
});

describe('a cdf', () => {
  it('has one step per sample where there are few', () => {
    expect(cdf([3, 1, 2, 4], 200)).toEqual([
      { value: 1, fraction: 0.25 },
      { value: 2, fraction: 0.5 },
      { value: 3, fraction: 0.75 },
      { value: 4, fraction: 1 },
    ]);
  });

  it('says of every point how many samples are at most that large, and ends with the greatest', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer(), { minLength: 1 }), fc.integer({ min: 1, max: 50 }), (values, limit) => {
        const points = cdf(values, limit);
        expect(points.length).toBe(Math.min(limit, values.length));
        for (const { value, fraction } of points) {
          expect(fraction).toBe(values.filter((other) => other <= value).length / values.length);
        }
        expect(points.at(-1)).toEqual({ value: Math.max(...values), fraction: 1 });
      }),
    );
  });
});

describe('seeded random numbers', () => {
  const draw = (seed: string, count: number) => {
    const random = createRandom(seed);
    return Array.from({ length: count }, () => random.uniform());
  };

  it('repeat for the same seed and differ for seeds that differ in one character', () => {
    expect(draw('W1/0', 5)).toEqual(draw('W1/0', 5));
    expect(draw('W1/0', 5)).not.toEqual(draw('W1/1', 5));
  });

  it('are uniform: each tenth of the range gets a tenth of them', () => {
    const counts = new Array<number>(10).fill(0);
    for (const value of draw('uniform', 100_000)) counts[Math.floor(value * 10)]!++;
    // Five standard deviations of a binomial count; the seed is fixed, so this cannot fail by chance.
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt(100_000 * 0.1 * 0.9));
  });

  it('whole numbers cover their range and nothing else', () => {
    const random = createRandom('integers');
    expect(new Set(Array.from({ length: 1_000 }, () => random.integer(3, 7)))).toEqual(new Set([3, 4, 5, 6]));
  });

  it('exponential ones have the mean asked for', () => {
    const random = createRandom('exponential');
    const mean = Array.from({ length: 100_000 }, () => random.exponential(250)).reduce((a, b) => a + b) / 100_000;
    expect(Math.abs(mean - 250)).toBeLessThan((5 * 250) / Math.sqrt(100_000));
  });
});

describe('paired differences', () => {
  it('have the standard error of the means of blocks', () => {
    const a = [3, 5, 1, 3, 4, 6];
    const b = [1, 1, 1, 1, 1, 1];
    // Means of blocks of two: 3, 1, 4.
    const { mean, standardError } = pairedDifference(a, b, 2);
    expect(mean).toBeCloseTo(8 / 3);
    expect(standardError).toBeCloseTo(Math.sqrt(7 / 3 / 3));
  });

  it('hold the true difference within two standard errors nearly always', () => {
    const random = createRandom('paired differences');
    const noise = () => random.uniform() - 0.5;
    const missed = Array.from({ length: 200 }, () => {
      const common = Array.from({ length: 640 }, () => 10 * noise());
      const { mean, standardError } = pairedDifference(
        common.map((value) => value + 0.3 + noise()),
        common.map((value) => value + noise()),
        64,
      );
      return Math.abs(mean - 0.3) > 2.5 * standardError ? 1 : 0;
    });
    expect(missed.reduce<number>((sum, one) => sum + one, 0)).toBeLessThan(20);
  });

  it('need two blocks of pairs', () => {
    expect(() => pairedDifference([1, 2, 3], [1, 2, 3], 2)).toThrow(RangeError);
    expect(() => pairedDifference([1, 2, 3, 4], [1, 2, 3], 1)).toThrow(RangeError);
  });
});
