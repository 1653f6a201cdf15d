import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildKernel } from '../../src/attention/index.js';
import { loadNativeSelection, portableSelection, type TokenSelection } from '../../src/selection/index.js';

const LONGEST = 2000;

/** Few distinct values, so that there are ties; lengths that are no multiple of any vector's. */
const coarse = fc.array(fc.integer({ min: -40, max: 40 }), { minLength: 1, maxLength: 700 });
const fine = fc.array(fc.double({ min: -60, max: 30, noNaN: true }), { minLength: 1, maxLength: 700 });
const special = fc.array(fc.constantFrom(0, -0, 1, -1, -1e30, 1e-40, Number.NEGATIVE_INFINITY), { minLength: 1 });
const logits = fc
  .oneof(coarse, fine, special, fc.constant(Array.from({ length: LONGEST }, (_, i) => Math.sin(i) * 8)))
  .map((values) => Float32Array.from(values))
  .filter((values) => values.some(Number.isFinite));

const temperature = fc.constantFrom(1, 0.7, 1.3, 0.01, 100, Number.MIN_VALUE);
const fraction = fc.double({ min: 0.001, max: 1, noNaN: true });

/** By value, then by index. */
function ranked(values: Float32Array): number[] {
  return Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);
}

function weighed(selection: TokenSelection, values: Float32Array, temperature: number) {
  const weights = new Float64Array(values.length);
  const total = selection.weigh(values, values[selection.argMax(values)], temperature, weights);
  return { weights, total };
}

let native: TokenSelection;

beforeAll(async () => {
  const { path } = await buildKernel();
  native = loadNativeSelection(path, LONGEST);
});

describe.each(['portable', 'native'])('%s token selection', (name) => {
  const selection = (): TokenSelection => (name === 'native' ? native : portableSelection);

  it('ranks by value, then by index', () => {
    fc.assert(
      fc.property(logits, fc.nat(800), (values, k) => {
        const order = ranked(values);
        expect(Array.from(selection().topIndices(values, k))).toEqual(order.slice(0, k));
        expect(selection().argMax(values)).toBe(order[0]);
      }),
    );
  });

  it('masks what has no bit', () => {
    fc.assert(
      fc.property(logits, fc.infiniteStream(fc.integer()), (values, words) => {
        const mask = Int32Array.from({ length: Math.ceil(values.length / 32) }, () => words.next().value);
        const kept = new Float32Array(values.length);
        selection().mask(values, mask, kept);
        const expected = values.map((value, i) => ((mask[i >> 5]! >> (i % 32)) & 1 ? value : Number.NEGATIVE_INFINITY));
        expect(new Uint32Array(kept.buffer)).toEqual(new Uint32Array(expected.buffer));
      }),
    );
  });

  it('counts and lists what reaches a value', () => {
    fc.assert(
      fc.property(logits, fc.nat(), (values, pick) => {
        const value = values[pick % values.length];
        expect(selection().countAbove(values, value)).toBe(values.filter((other) => other > value).length);
        const expected = Array.from(values.keys()).filter((i) => values[i] >= value);
        expect(Array.from(selection().atLeast(values, value))).toEqual(expected);
      }),
    );
  });

  it('weighs as the exponential function does', () => {
    fc.assert(
      fc.property(logits, temperature, (values, temperature) => {
        const { weights, total } = weighed(selection(), values, temperature);
        const highest = Math.max(...values);
        weights.forEach((weight, i) => {
          const expected = Math.exp((values[i] - highest) / temperature);
          // Below 1e-300 a weight may be 0.
          expect(Math.abs(weight - expected)).toBeLessThanOrEqual(1e-12 * expected + 1e-300);
        });
        expect(total / weights.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
        expect(selection().weigh(values, highest, temperature)).toBe(total);
      }),
    );
  });

  it('finds the fewest of the highest scores that reach a mass', () => {
    fc.assert(
      fc.property(logits, temperature, fraction, (values, temperature, fraction) => {
        const { weights, total } = weighed(selection(), values, temperature);
        const mass = fraction * total;
        const chosen = Array.from(selection().nucleus(values, weights, mass));
        expect(chosen).toEqual([...chosen].sort((a, b) => a - b));
        const order = ranked(values).slice(0, chosen.length);
        expect(new Set(chosen)).toEqual(new Set(order));
        // The order of additions may move the border by a rounding.
        const sum = order.reduce((sum, i) => sum + weights[i], 0);
        if (chosen.length < values.length) expect(sum).toBeGreaterThan(mass * (1 - 1e-12));
        expect(sum - weights[order[order.length - 1]]).toBeLessThan(mass * (1 + 1e-12));
      }),
    );
  });

  it('finds the k highest scores as a nucleus of equal weights', () => {
    fc.assert(
      fc.property(logits, fc.integer({ min: 1, max: 800 }), (values, k) => {
        const chosen = selection().nucleus(values, new Float64Array(values.length).fill(1), k);
        expect(new Set(chosen)).toEqual(new Set(ranked(values).slice(0, k)));
      }),
    );
  });
});

describe('native and portable token selection', () => {
  it('agree to the last bit', () => {
    fc.assert(
      fc.property(logits, temperature, fraction, fc.nat(800), (values, temperature, fraction, k) => {
        const [ours, theirs] = [native, portableSelection].map((selection) => {
          const { weights, total } = weighed(selection, values, temperature);
          return {
            weights,
            total,
            best: selection.argMax(values),
            top: Array.from(selection.topIndices(values, k)),
            nucleus: Array.from(selection.nucleus(values, weights, fraction * total)),
          };
        });
        expect(ours).toEqual(theirs);
      }),
    );
  });

  it('answer also when logits are not numbers', () => {
    const values = new Float32Array(1000).fill(Number.NaN);
    for (const selection of [native, portableSelection]) {
      const { weights, total } = weighed(selection, values, 1);
      expect(selection.argMax(values)).toBe(0);
      expect(selection.topIndices(values, 5)).toHaveLength(5);
      expect(selection.nucleus(values, weights, 0.9 * total).length).toBeGreaterThan(0);
    }
  });
});
