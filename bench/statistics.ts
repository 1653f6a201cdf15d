/** The few statistics that the benchmarks report. All take plain samples in any order and leave them as they are. */

/** Median of repeated runs with the smallest and the largest of them. */
export interface Spread {
  median: number;
  min: number;
  max: number;
}

/** One step of an empirical distribution: `fraction` of the samples are at most `value`. */
export interface CdfPoint {
  value: number;
  fraction: number;
}

const ascending = (samples: readonly number[]): number[] => [...samples].sort((a, b) => a - b);

function quantileOfSorted(sorted: readonly number[], q: number): number {
  if (sorted.length === 0) return Number.NaN;
  const rank = q * (sorted.length - 1);
  const below = Math.floor(rank);
  const above = Math.ceil(rank);
  return sorted[below]! + (sorted[above]! - sorted[below]!) * (rank - below);
}

/**
 * The `q`-quantiles (0 to 1) of `samples`, interpolated linearly between the closest ranks (type 7 of Hyndman and Fan
 * 1996, the default of NumPy and R). NaN where there are no samples.
 *
 * @throws RangeError when a q is outside 0 to 1.
 */
export function quantiles(samples: readonly number[], qs: readonly number[]): number[] {
  const wrong = qs.find((q) => !(q >= 0 && q <= 1));
  if (wrong !== undefined) throw new RangeError(`a quantile must lie between 0 and 1, not ${wrong}`);
  const sorted = ascending(samples);
  return qs.map((q) => quantileOfSorted(sorted, q));
}

/** Median of `samples`; NaN where there are none. */
export function median(samples: readonly number[]): number {
  return quantileOfSorted(ascending(samples), 0.5);
}

/** Median, minimum and maximum of `samples`; all NaN where there are none. */
export function spread(samples: readonly number[]): Spread {
  const sorted = ascending(samples);
  return {
    median: quantileOfSorted(sorted, 0.5),
    min: quantileOfSorted(sorted, 0),
    max: quantileOfSorted(sorted, 1),
  };
}

/** Mean of paired differences, and how far off it may be by chance. */
export interface MeanDifference {
  mean: number;
  standardError: number;
}

/**
 * Mean of `a[i] - b[i]`. What lies side by side may be alike, so its standard error is that of the means of blocks of this
 * many, each of which is taken as one sample.
 *
 * @throws RangeError when the two are not of one length, or too short for two blocks.
 */
export function pairedDifference(a: readonly number[], b: readonly number[], blockLength: number): MeanDifference {
  const blocks = Math.floor(a.length / blockLength);
  if (a.length !== b.length || blocks < 2) throw new RangeError(`${a.length} and ${b.length} samples make no pairs`);
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const differences = a.map((value, i) => value - b[i]!);
  const means = Array.from({ length: blocks }, (_, i) =>
    mean(differences.slice(i * blockLength, (i + 1) * blockLength)),
  );
  const center = mean(means);
  const variance = means.reduce((sum, value) => sum + (value - center) ** 2, 0) / (blocks - 1);
  return { mean: mean(differences), standardError: Math.sqrt(variance / blocks) };
}

/** The empirical distribution of `samples` at no more than `limit` evenly spaced fractions, always including 1. */
export function cdf(samples: readonly number[], limit: number): CdfPoint[] {
  const sorted = ascending(samples);
  const points = Math.min(limit, sorted.length);
  return Array.from({ length: points }, (_, i) => {
    const rank = Math.ceil(((i + 1) * sorted.length) / points);
    return { value: sorted[rank - 1]!, fraction: rank / sorted.length };
  });
}
