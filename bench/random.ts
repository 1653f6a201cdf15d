/** Seeded random numbers: the same seed makes the same prompts and arrivals on every machine. */
export interface Random {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** Uniform whole number in [low, high). */
  integer(low: number, high: number): number;
  /** Exponential with the given mean: the gaps of a Poisson process. */
  exponential(mean: number): number;
  /** Log-normal with the given mean, and standard deviation of its logarithm. */
  logNormal(mean: number, sigma: number): number;
}

/** FNV-1a over UTF-16 code units: spreads similar seeds ("W1/0", "W1/1") over all 32 bits. */
function hash(text: string): number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  return state >>> 0;
}

/** A generator of its own for `seed`. Its core is Mulberry32 (T. Ettinger, 2017): ample for load, not for secrets. */
export function createRandom(seed: string): Random {
  let state = hash(seed);
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    uniform,
    integer: (low, high) => low + Math.floor(uniform() * (high - low)),
    // 1 - u lies in (0, 1], so the logarithm is finite.
    exponential: (mean) => -Math.log(1 - uniform()) * mean,
    logNormal: (mean, sigma) => {
      // Box and Muller's normal number.
      const normal = Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
      return mean * Math.exp(sigma * normal - sigma ** 2 / 2);
    },
  };
}
