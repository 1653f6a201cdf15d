/** What a policy decides from, at the beginning of a step. `now` is in ms, on the clock of the scheduler's caller. */
export interface BatchingView {
  now: number;
  running: number;
  waiting: number;
  maxNumSeqs: number;
}

/** Decides how many waiting sequences may join the running batch. */
export interface BatchingPolicy {
  /** Upper bound for admissions in this step. */
  admissions(view: BatchingView): number;
  /** One admission was used, or (−1) a running sequence went back to the queue. */
  admitted(count: number): void;
  /** When to plan again although nothing has happened since, or undefined: no need. */
  wakeAt(): number | undefined;
}

export type BatchingPolicyName = 'continuous' | 'dynamic' | 'static';

/**
 * - `continuous`: a waiting sequence joins as soon as a slot is free (Orca's iteration-level scheduling).
 * - `static`: take what waits, run it to the end, only then look again.
 * - `dynamic`: as static, but a batch that is not full waits up to `windowMs` for more.
 *
 * The last two exist to measure what the first one buys.
 */
export function createBatchingPolicy(name: BatchingPolicyName, windowMs: number): BatchingPolicy {
  switch (name) {
    case 'continuous':
      return { admissions: () => Number.POSITIVE_INFINITY, admitted: () => {}, wakeAt: () => undefined };
    case 'static':
      return closedBatches(0);
    case 'dynamic':
      return closedBatches(windowMs);
  }
}

function closedBatches(windowMs: number): BatchingPolicy {
  /** Members of the current batch that have not been admitted yet. */
  let outstanding = 0;
  /** When the first member of the next batch was seen to wait. */
  let windowOpened: number | undefined;
  return {
    admissions({ now, running, waiting, maxNumSeqs }) {
      outstanding = Math.min(outstanding, waiting);
      if (running > 0 || outstanding > 0) return outstanding;
      if (waiting === 0) {
        windowOpened = undefined;
        return 0;
      }
      windowOpened ??= now;
      if (waiting < maxNumSeqs && now < windowOpened + windowMs) return 0;
      windowOpened = undefined;
      outstanding = Math.min(waiting, maxNumSeqs);
      return outstanding;
    },
    admitted(count) {
      outstanding = Math.max(0, outstanding - count);
    },
    wakeAt: () => (windowOpened === undefined ? undefined : windowOpened + windowMs),
  };
}
