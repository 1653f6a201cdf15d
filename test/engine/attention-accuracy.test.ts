import { describe, expect, test } from 'vitest';
import {
  type Heads,
  Kernel,
  LEVELS,
  PagePool,
  type Random,
  type Row,
  random,
  randomSequence,
  range,
  type Sequence,
  scaleOf,
} from './attention-harness.js';

/** The half nearest to a double of less than 65520, ties to even. */
function half(x: number): number {
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(x))), -14);
  const unit = 2 ** (exponent - 10);
  const steps = x === 0 ? 0 : x / unit;
  const below = Math.floor(steps);
  const up = steps - below > 0.5 || (steps - below === 0.5 && below % 2 !== 0);
  return (up ? below + 1 : below) * unit;
}

const halves = new WeakMap<Float32Array, Float64Array>();

/** A row of keys or values as the pages hold it. */
function stored(row: Float32Array): Float64Array {
  let rounded = halves.get(row);
  if (rounded === undefined) {
    rounded = Float64Array.from(row, half);
    halves.set(row, rounded);
  }
  return rounded;
}

const U = 2 ** -24;

/**
 * Attention of one row in doubles, and for each output how far single precision may be from it. A sum of n terms, in
 * any order, is off by n U of its magnitudes: a score by (D + 3) U Σ|q k|. A weight is relatively off by twice that
 * (so is the maximum), by |x| 2^-23 for x / ln 2, and by 4e-7 for the polynomial and its roundings; numerator and
 * denominator besides by (n + 8 a block) U.
 */
function reference(heads: Heads, { sequence, position }: Row) {
  const { kvHeads, group, headSize } = heads;
  const output = new Float64Array(kvHeads * group * headSize);
  const tolerance = new Float64Array(output.length);
  const query = sequence.queries[position]!;
  const keys = sequence.keys.map(stored);
  const values = sequence.values.map(stored);
  const scale = scaleOf(heads);
  for (const head of range(kvHeads * group)) {
    const at = Math.floor(head / group) * headSize;
    const scores = new Float64Array(position + 1);
    let magnitude = 0;
    for (let t = 0; t <= position; t++) {
      const key = keys[t]!;
      let score = 0;
      let absolute = 0;
      for (let d = 0; d < headSize; d++) {
        const product = query[head * headSize + d]! * key[at + d]! * scale;
        score += product;
        absolute += Math.abs(product);
      }
      scores[t] = score;
      magnitude = Math.max(magnitude, absolute);
    }
    const maximum = scores.reduce((a, b) => Math.max(a, b));
    const depth = maximum - scores.reduce((a, b) => Math.min(a, b));
    const weights = scores.map((score) => Math.exp(score - maximum));
    const total = weights.reduce((a, b) => a + b);
    const terms = position + 1 + 8 * Math.ceil((position + 1) / 64);
    const relative = 2 * (2 * (headSize + 3) * U * magnitude + depth * 2 ** -23 + 4e-7 + terms * U);
    for (let d = 0; d < headSize; d++) {
      let sum = 0;
      let absolute = 0;
      for (let t = 0; t <= position; t++) {
        const part = (weights[t]! / total) * values[t]![at + d]!;
        sum += part;
        absolute += Math.abs(part);
      }
      output[head * headSize + d] = sum;
      tolerance[head * headSize + d] = relative * absolute;
    }
  }
  return { output, tolerance };
}

/** Largest error of a row in units of what it may be: at most 1. */
function worstError(heads: Heads, row: Row, output: Float32Array): number {
  const expected = reference(heads, row);
  // NaN is as wrong as can be, and Math.max would keep it: expect() then fails.
  return output.reduce((worst, x, i) => Math.max(worst, Math.abs(x - expected.output[i]!) / expected.tolerance[i]!), 0);
}

async function runPrompts(heads: Heads, level: string, lengths: number[], chunk: number, seed: number) {
  const next: Random = random(seed);
  const kernel = new Kernel(heads, 128, level);
  await kernel.poison();
  const pool = new PagePool(128, next);
  const sequences = lengths.map((length) => randomSequence(heads, length, next));
  for (const sequence of sequences) pool.place(sequence);
  let worst = 0;
  for (let from = 0; from < Math.max(...lengths); from += chunk) {
    const rows = sequences.flatMap((sequence: Sequence) =>
      range(sequence.keys.length)
        .slice(from, from + chunk)
        .map((position) => ({ sequence, position })),
    );
    const outputs = await kernel.step(rows);
    // The reference is slow: every row of short prompts, some of long ones.
    const stride = Math.ceil(rows.length / 16);
    for (let i = 0; i < rows.length; i += stride) worst = Math.max(worst, worstError(heads, rows[i]!, outputs[i]!));
  }
  kernel.dispose();
  return worst;
}

describe.each(LEVELS)('the %s kernel agrees with attention in doubles', (level) => {
  test.each([16, 64, 80, 96, 128, 256])('for heads of size %i', async (headSize) => {
    const heads = { kvHeads: 2, group: 3, headSize };
    expect(await runPrompts(heads, level, [70, 1, 16, 33], 29, headSize)).toBeLessThanOrEqual(1);
  });

  test.each([1, 2, 3, 4, 5, 6, 7, 8, 9])('for %i query heads to a KV head', async (group) => {
    const heads = { kvHeads: 3, group, headSize: 64 };
    expect(await runPrompts(heads, level, [40, 65, 128], 50, 100 + group)).toBeLessThanOrEqual(1);
  });

  test('for a prompt of hundreds of tokens at once', async () => {
    const heads = { kvHeads: 1, group: 3, headSize: 64 };
    expect(await runPrompts(heads, level, [700], 700, 7)).toBeLessThanOrEqual(1);
  });

  test('where scores differ so much that single weights are all that count', async () => {
    const next = random(11);
    const heads = { kvHeads: 1, group: 2, headSize: 64 };
    const kernel = new Kernel(heads, 16, level);
    const sequence = randomSequence(heads, 200, next);
    for (const query of sequence.queries)
      query.forEach((x, i) => {
        query[i] = x * 40;
      });
    new PagePool(16, next).place(sequence);
    const rows = range(200).map((position) => ({ sequence, position }));
    const outputs = await kernel.step(rows);
    for (let i = 0; i < 200; i += 9) expect(worstError(heads, rows[i]!, outputs[i]!)).toBeLessThanOrEqual(1);
    kernel.dispose();
  });
});
