import { DeadlineError, OverloadedError } from '../errors.js';
import { CompletionRate } from './completion-rate.js';
import { canWait, type Waiter, WaitingRoom } from './waiting-room.js';

export interface AdmissionOptions {
  /** Most requests, and most of their tokens, that may wait; 0: any number. */
  maxQueuedRequests: number;
  maxQueuedTokens: number;
  /** Seconds that a request may wait for its first step, and that it may take in all; 0: any time. */
  maxQueueTime: number;
  requestTimeout: number;
}

/** What has to be known of a request. */
export interface Applicant {
  tenant: string;
  priority: number;
  /** Of the prompt, and at most of the answer. */
  tokens: number;
  /** Milliseconds that it may take in all, if less than what everybody may. */
  timeoutMs?: number | undefined;
  /** It belongs to a call of which another request was taken before: there is room for it. */
  followsOn?: boolean | undefined;
}

/** A request that was taken. */
export interface Visit {
  /** It is part of a step: it waits no more. */
  begun(): void;
  /** To be called once, whatever became of it. */
  over(): void;
}

/** What is said about when to try again, in seconds. */
const SHORTEST_RETRY = 1;
const LONGEST_RETRY = 120;
const UNKNOWN_RETRY = 5;

/** Decides which requests may wait for the engine, and how long they and their answers may take. */
export class Admission {
  private readonly options: AdmissionOptions;
  private readonly room: WaitingRoom;
  private readonly rate = new CompletionRate();

  constructor(options: AdmissionOptions) {
    this.options = options;
    this.room = new WaitingRoom({ maxRequests: options.maxQueuedRequests, maxTokens: options.maxQueuedTokens });
  }

  /**
   * Refuses a request that {@link enter} would refuse however short it is: before anything costly is done for it.
   * @throws OverloadedError
   */
  check({ tenant = '', priority = 0 }: { tenant?: string | undefined; priority?: number | undefined }): void {
    const waiter: Waiter = { tenant, priority, tokens: 1, turnAway() {} };
    if (!this.room.isOpenTo(waiter)) throw this.full(waiter);
  }

  /**
   * Takes a request, or refuses it.
   * @param end Ends the request with an error: it was turned away for another one, or has taken too long.
   * @throws OverloadedError
   */
  enter(applicant: Applicant, end: (error: Error) => void): Visit {
    const { tenant, priority, tokens, followsOn } = applicant;
    const { maxQueueTime } = this.options;
    const timeoutMs = this.timeoutOf(applicant);
    const waiter: Waiter = { tenant, priority, tokens, turnAway: () => end(this.full(waiter)) };
    if (followsOn) this.room.join(waiter);
    else if (!this.room.enter(waiter)) throw this.full(waiter);
    const waiting = after(maxQueueTime * 1000, () => end(this.waitedTooLong(maxQueueTime)));
    const running = after(timeoutMs, () => end(new DeadlineError(timeoutMs / 1000)));
    let hasBegun = false;
    return {
      begun: () => {
        hasBegun = true;
        this.room.leave(waiter);
        clearTimeout(waiting);
      },
      over: () => {
        if (hasBegun) this.rate.completed(performance.now());
        this.room.leave(waiter);
        clearTimeout(waiting);
        clearTimeout(running);
      },
    };
  }

  /** 0: any time. */
  private timeoutOf({ timeoutMs }: Applicant): number {
    const most = this.options.requestTimeout * 1000;
    if (timeoutMs === undefined) return most;
    return most === 0 ? timeoutMs : Math.min(most, timeoutMs);
  }

  private full(waiter: Waiter): OverloadedError {
    const { size } = this.room;
    const waits = `${size} ${size === 1 ? 'request waits' : 'requests wait'} already`;
    return canWait(waiter)
      ? new OverloadedError(`There is no room for work of low priority now: ${waits}.`, this.retryAfter(), true)
      : new OverloadedError(`The engine is currently overloaded: ${waits}.`, this.retryAfter());
  }

  private waitedTooLong(seconds: number): OverloadedError {
    return new OverloadedError(
      `The engine is currently overloaded: the request has waited for ${seconds} s.`,
      this.retryAfter(),
    );
  }

  /** Until half of those that wait have had their turn, in whole seconds. */
  private retryAfter(): number {
    const rate = this.rate.perSecond(performance.now());
    if (rate === undefined) return UNKNOWN_RETRY;
    return Math.min(LONGEST_RETRY, Math.max(SHORTEST_RETRY, Math.ceil(this.room.size / 2 / rate)));
  }
}

/** 0: never. */
function after(ms: number, act: () => void): NodeJS.Timeout | undefined {
  return ms > 0 ? setTimeout(act, ms).unref() : undefined;
}
