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

/** The empirical distribution of `samples` at no more than `limit` evenly spaced fractions, always including 1. */
export function cdf(samples: readonly number[], limit: number): CdfPoint[] {
  const sorted = ascending(samples);
  const points = Math.min(limit, sorted.length);
  return Array.from({ length: points }, (_, i) => {
    const rank = Math.ceil(((i + 1) * sorted.length) / points);
    return { value: sorted[rank - 1]!, fraction: rank / sorted.length };
  });
}
