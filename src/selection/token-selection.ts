/**
 * What choosing a token needs to do with a whole vocabulary of logits. Two implementations give the same bits: a native
 * one, and a portable one for where there is no compiler.
 *
 * Values must not be NaN. Indices come in arrays that the next call may overwrite.
 */
export interface TokenSelection {
  /** Index of the highest value; the first of equals. */
  argMax(values: Float32Array): number;
  /** Indices of the k highest values (all, if there are fewer), best first; equal values in order of index. */
  topIndices(values: Float32Array, k: number): Int32Array;
  /** How many values are higher than `value`. */
  countAbove(values: Float32Array, value: number): number;
  /** Indices of values ≥ `lowest`, ascending. */
  atLeast(values: Float32Array, lowest: number): Int32Array;
  /**
   * Sum of e^((value − highest) / temperature), each to about 12 digits.
   * @param highest the highest of the values
   * @param weights receives the summands, if given; at least as long as `values`
   */
  weigh(values: Float32Array, highest: number, temperature: number, weights?: Float64Array): number;
  /**
   * Indices of the highest scores, as many as it takes for their weights to sum to `mass`, ascending; of equal scores
   * those with lower indices. At least one; all, if the sum stays below. Linear in the number of scores.
   * @param weights not negative, at least as many as scores
   */
  nucleus(scores: Float32Array, weights: Float64Array, mass: number): Int32Array;
  /**
   * Copies values whose bit is set and puts −∞ in place of the others.
   * @param mask bit i % 32 of word ⌊i / 32⌋ belongs to value i
   * @param kept as long as `values`
   */
  mask(values: Float32Array, mask: Int32Array, kept: Float32Array): void;
}
