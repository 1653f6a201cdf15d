/**
 * Token ids that say when they were emitted: the time of a clock that all processes of a machine share, in units of
 * `TICK_MS`. Its text is the number itself, so whoever receives a token can tell how old it is.
 */

const TICK_MS = 0.01;

/** As many different tokens as there are: the clock starts over after 10 s, far above any latency that it measures. */
export const TICKS = 1_000_000;

/** Milliseconds of a clock that never jumps. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** The token that is emitted now. */
export function emissionToken(): number {
  return Math.floor(monotonicMs() / TICK_MS) % TICKS;
}

/** How long ago a token was emitted, at `nowMs`. */
export function tokenAgeMs(token: number, nowMs: number): number {
  const age = (Math.floor(nowMs / TICK_MS) % TICKS) - token;
  return (age < 0 ? age + TICKS : age) * TICK_MS;
}
