import { EngineUnavailableError, type Serving, type ServingState } from '../serving/index.js';

/**
 * How far a server is with shutting down, for its routes and for whoever shuts it down. It goes from step to step, never
 * back: announced (probes say so, requests are answered as before), refusing (of new ones, that is), ended.
 */
export interface Drain {
  /** Nobody should send requests here any more. */
  announce(): void;
  /** From now on nothing new is begun. */
  refuse(): void;
  /** Ends what still runs: with an error event in its stream, or with a 503. */
  end(): void;
  readonly isAnnounced: boolean;
  /**
   * To be called before work is begun.
   * @param abort Ends it early.
   * @returns What to call when it has ended; more than once does no harm.
   * @throws ClosingError when nothing new is begun.
   */
  begin(abort: () => void): () => void;
  /** @throws ClosingError when running work was ended: that is why it broke off. */
  checkEnded(): void;
  /** Resolves once nothing runs. */
  idle(): Promise<void>;
}

/** The server is shutting down; another one, or the next, takes the request. */
export class ClosingError extends EngineUnavailableError {
  constructor() {
    super('The server is shutting down. Send the request again.');
  }
}

export function createDrain(): Drain {
  const running = new Set<{ abort(): void }>();
  let step: 'open' | 'announced' | 'refusing' | 'ended' = 'open';
  let waiting: Array<() => void> = [];

  return {
    announce() {
      if (step === 'open') step = 'announced';
    },
    refuse() {
      if (step !== 'ended') step = 'refusing';
    },
    end() {
      step = 'ended';
      for (const work of [...running]) work.abort();
    },
    get isAnnounced() {
      return step !== 'open';
    },
    begin(abort) {
      if (step === 'refusing' || step === 'ended') throw new ClosingError();
      const work = { abort };
      running.add(work);
      return () => {
        running.delete(work);
        if (running.size > 0) return;
        for (const resolve of waiting) resolve();
        waiting = [];
      };
    },
    checkEnded() {
      if (step === 'ended') throw new ClosingError();
    },
    idle: () => (running.size === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  };
}

export type Readiness = ServingState | { state: 'closing' };

/** What probes are told. */
export function readinessOf({ serving, drain }: { serving: Serving; drain: Drain }): Readiness {
  const state = serving.state();
  return drain.isAnnounced && state.state !== 'closed' ? { state: 'closing' } : state;
}
