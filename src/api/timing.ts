import type { Submission } from './openai/submission.js';

/** How long the parts of an answer took so far, in milliseconds. */
export interface Timing {
  /** Until the first token, its own time in the queue included. */
  promptMs(): number;
  /** From the first token on. */
  predictedMs(): number;
}

/** A submission, and the clock that runs while it is answered; for protocols that tell their clients. */
export function timed(submission: Submission, start = performance.now()): { submission: Submission; timing: Timing } {
  let first: number | undefined;
  return {
    submission: {
      ...submission,
      take(event) {
        first ??= performance.now();
        return submission.take(event);
      },
    },
    timing: {
      promptMs: () => (first ?? performance.now()) - start,
      predictedMs: () => (first === undefined ? 0 : performance.now() - first),
    },
  };
}
