import type { TokenSelection } from './token-selection.js';

/** In TypeScript alone. native/token_selection.c does the same, operation by operation. */
export const portableSelection: TokenSelection = {
  argMax,
  topIndices,
  countAbove,
  atLeast,
  weigh,
  nucleus,
  mask,
};

function argMax(values: Float32Array): number {
  let best = 0;
  let highest = values[0];
  for (let i = 1; i < values.length; i++) {
    if (values[i] > highest) {
      highest = values[i];
      best = i;
    }
  }
  return best;
}

/** O(n log k), and close to O(n) on real logits: an entry is looked at twice only if it beats the k-th best so far. */
function topIndices(values: Float32Array, k: number): Int32Array {
  const size = Math.min(k, values.length);
  if (size === 0) return new Int32Array(0);
  // A heap with the worst entry kept on top. `worse` orders by value, then by index, so the outcome is unique.
  const heap = new Int32Array(size);
  const worse = (a: number, b: number): boolean => values[a] < values[b] || (values[a] === values[b] && a > b);
  const sink = (from: number, count: number): void => {
    const item = heap[from];
    let i = from;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= count) break;
      if (child + 1 < count && worse(heap[child + 1], heap[child])) child++;
      if (!worse(heap[child], item)) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = item;
  };
  for (let i = 0; i < size; i++) heap[i] = i;
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(i, size);
  let threshold = values[heap[0]];
  for (let i = size; i < values.length; i++) {
    if (values[i] > threshold) {
      heap[0] = i;
      sink(0, size);
      threshold = values[heap[0]];
    }
  }
  for (let count = size - 1; count > 0; count--) {
    const worst = heap[0];
    heap[0] = heap[count];
    heap[count] = worst;
    sink(0, count);
  }
  return heap;
}

function countAbove(values: Float32Array, value: number): number {
  let above = 0;
  for (let i = 0; i < values.length; i++) if (values[i] > value) above++;
  return above;
}

function atLeast(values: Float32Array, lowest: number): Int32Array {
  const indices = new Int32Array(values.length);
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i] >= lowest) indices[count++] = i;
  return indices.subarray(0, count);
}

const LOWEST_EXPONENT = -708;
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
/** Adding it rounds to a whole number. */
const ROUNDER = 1.5 * 2 ** 52;

/** `POWERS_OF_TWO[i]` is 2^(i − 1022), made of its bits. */
const POWERS_OF_TWO = new Float64Array(BigUint64Array.from({ length: 1023 }, (_, i) => BigInt(i + 1) << 52n).buffer);

/**
 * e^x for x ≤ 0 in additions and products that are rounded one by one, so that every implementation of it agrees: 2^n ·
 * e^r with |r| ≤ ln(2) / 2, and e^r by its Taylor series.
 */
function exponential(x: number): number {
  if (x < LOWEST_EXPONENT) return 0;
  const n = x * Math.LOG2E + ROUNDER - ROUNDER;
  const r = x - n * LN2_HIGH - n * LN2_LOW;
  let power = 1 / 3628800;
  power = power * r + 1 / 362880;
  power = power * r + 1 / 40320;
  power = power * r + 1 / 5040;
  power = power * r + 1 / 720;
  power = power * r + 1 / 120;
  power = power * r + 1 / 24;
  power = power * r + 1 / 6;
  power = power * r + 1 / 2;
  power = power * r + 1;
  power = power * r + 1;
  return power * POWERS_OF_TWO[n + 1022];
}

function weigh(values: Float32Array, highest: number, temperature: number, weights?: Float64Array): number {
  // Finite, so that the highest value keeps its weight of 1 at any temperature above 0.
  const sharpness = Math.min(1 / temperature, Number.MAX_VALUE);
  const sums = new Float64Array(8);
  for (let i = 0; i < values.length; i++) {
    const weight = exponential((values[i] - highest) * sharpness);
    if (weights !== undefined) weights[i] = weight;
    sums[i % 8] += weight;
  }
  return sums[0] + sums[4] + (sums[2] + sums[6]) + (sums[1] + sums[5] + (sums[3] + sums[7]));
}

/** The digits in which {@link nucleus} reads an order, the highest first. */
const PARTS = [
  { shift: 21, mask: 2047 },
  { shift: 10, mask: 2047 },
  { shift: 0, mask: 1023 },
];
const DIGITS = 2048;

/** As by a radix sort that looks only where it must. */
function nucleus(scores: Float32Array, weights: Float64Array, mass: number): Int32Array {
  const orders = ordersOf(scores);
  const indices = new Int32Array(scores.length);
  for (let i = 0; i < indices.length; i++) indices[i] = i;
  let candidates = indices.length;
  let sum = 0;
  let border = 0;
  let known = 0;
  for (const { shift, mask } of PARTS) {
    // Four sums for each digit, as the native twin needs them.
    const byDigit = new Float64Array(4 * DIGITS);
    const occurs = new Uint8Array(DIGITS);
    for (let c = 0; c < candidates; c++) {
      const digit = (orders[indices[c]] >>> shift) & mask;
      byDigit[(c % 4) * DIGITS + digit] += weights[indices[c]];
      occurs[digit] = 1;
    }
    const lowest = occurs.indexOf(1);
    let digit = occurs.lastIndexOf(1);
    for (; ; digit--) {
      const weight =
        byDigit[digit] + byDigit[DIGITS + digit] + (byDigit[2 * DIGITS + digit] + byDigit[3 * DIGITS + digit]);
      if (digit <= lowest || !(sum + weight < mass)) break;
      sum += weight;
    }
    border |= digit << shift;
    known |= mask << shift;
    let kept = 0;
    for (let c = 0; c < candidates; c++) {
      if ((orders[indices[c]] & known) === border) indices[kept++] = indices[c];
    }
    candidates = kept;
  }
  // What is left are the scores at the border itself; as many as are needed are in.
  let last = -1;
  for (let c = 0; c < candidates && (c === 0 || sum < mass); c++) {
    last = indices[c];
    sum += weights[last];
  }
  border >>>= 0;
  let kept = 0;
  for (let i = 0; i < orders.length; i++) {
    if (orders[i] > border || (orders[i] === border && i <= last)) indices[kept++] = i;
  }
  return indices.subarray(0, kept);
}

function mask(values: Float32Array, mask: Int32Array, kept: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    kept[i] = (mask[i >> 5] >>> (i & 31)) & 1 ? values[i] : Number.NEGATIVE_INFINITY;
  }
}

/** Whole numbers in the order of the floats, made of their bits; the two zeros are one. */
function ordersOf(values: Float32Array): Uint32Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const orders = new Uint32Array(values.length);
  for (let i = 0; i < orders.length; i++) orders[i] = values[i] < 0 ? ~bits[i] : bits[i] | 0x80000000;
  return orders;
}
