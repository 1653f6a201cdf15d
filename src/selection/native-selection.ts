import koffi, { type KoffiFunc } from 'koffi';
import type { TokenSelection } from './token-selection.js';

/**
 * The functions of native/token_selection.h, for up to `capacity` values.
 * @param kernel path of the library that native/*.c was compiled into
 * @throws Error when the file is not that library
 */
export function loadNativeSelection(kernel: string, capacity: number): TokenSelection {
  const library = koffi.load(kernel);
  const argMax = library.func('int32_t quire_arg_max(const float *values, int32_t count)') as KoffiFunc<
    (values: Float32Array, count: number) => number
  >;
  const topIndices = library.func(
    'void quire_top_indices(const float *values, int32_t count, int32_t k, int32_t *indices)',
  ) as KoffiFunc<(values: Float32Array, count: number, k: number, indices: Int32Array) => void>;
  const countAbove = library.func(
    'int32_t quire_count_above(const float *values, int32_t count, float value)',
  ) as KoffiFunc<(values: Float32Array, count: number, value: number) => number>;
  const atLeast = library.func(
    'int32_t quire_at_least(const float *values, int32_t count, float lowest, int32_t *indices)',
  ) as KoffiFunc<(values: Float32Array, count: number, lowest: number, indices: Int32Array) => number>;
  const weigh = library.func(
    'double quire_weigh(const float *values, int32_t count, float highest, double temperature, double *weights)',
  ) as KoffiFunc<
    (values: Float32Array, count: number, highest: number, temperature: number, weights: Float64Array | null) => number
  >;
  const nucleus = library.func(
    'int32_t quire_nucleus(const float *scores, const double *weights, int32_t count, double mass, int32_t *indices)',
  ) as KoffiFunc<
    (scores: Float32Array, weights: Float64Array, count: number, mass: number, indices: Int32Array) => number
  >;

  const mask = library.func(
    'void quire_mask(const float *values, const int32_t *mask, int32_t count, float *kept)',
  ) as KoffiFunc<(values: Float32Array, mask: Int32Array, count: number, kept: Float32Array) => void>;

  const indices = new Int32Array(new ArrayBuffer(4 * capacity));
  return {
    argMax: (values) => argMax(values, values.length),
    topIndices: (values, k) => {
      const count = Math.min(k, values.length);
      topIndices(values, values.length, count, indices);
      return indices.subarray(0, count);
    },
    countAbove: (values, value) => countAbove(values, values.length, value),
    atLeast: (values, lowest) => indices.subarray(0, atLeast(values, values.length, lowest, indices)),
    weigh: (values, highest, temperature, weights) =>
      weigh(values, values.length, highest, temperature, weights ?? null),
    nucleus: (scores, weights, mass) => indices.subarray(0, nucleus(scores, weights, scores.length, mass, indices)),
    mask: (values, allowed, kept) => mask(values, allowed, values.length, kept),
  };
}
