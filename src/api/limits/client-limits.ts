import { RateLimiterMemory, type RateLimiterRes } from 'rate-limiter-flexible';
import { formatDuration } from './durations.js';
import { tooLarge, tooMany } from './errors.js';

/** What each client may do; 0: as much as it likes. */
export interface ClientLimitOptions {
  /** Requests at the same time. */
  concurrentRequests: number;
  /** Requests, and tokens of prompts and answers, in a minute. */
  requestsPerMinute: number;
  tokensPerMinute: number;
}

/** A request that a client was allowed. */
export interface AllowedRequest {
  /**
   * Counts tokens before they are computed: a prompt, and the most that may be answered.
   * @throws ApiError, 429
   */
  charge(tokens: number): Promise<void>;
  /** What the client is told of its limits, in OpenAI's headers. */
  headers(): Record<string, string>;
  /** To be called once: the request has ended, and took so many tokens altogether. */
  end(tokens: number): void;
}

const MINUTE_S = 60;

/**
 * Keeps each client to its limits. Minutes are fixed windows that begin with a client's first request; what is refused
 * counts nothing.
 */
export class ClientLimits {
  private readonly options: ClientLimitOptions;
  private readonly requests: Allowance;
  private readonly tokens: Allowance;
  private readonly running = new Map<string, number>();

  constructor(options: ClientLimitOptions) {
    this.options = options;
    this.requests = new Allowance('requests', options.requestsPerMinute);
    this.tokens = new Allowance('tokens', options.tokensPerMinute);
  }

  /** @throws ApiError, 429 */
  async begin(client: string): Promise<AllowedRequest> {
    const { concurrentRequests } = this.options;
    const others = this.running.get(client) ?? 0;
    if (concurrentRequests > 0 && others >= concurrentRequests) {
      throw tooMany('requests', 'requests at the same time', concurrentRequests, others, 1, 1000, {});
    }
    // Before anything is waited for: those that come meanwhile are to see it.
    this.running.set(client, others + 1);
    let charged = 0;
    let isOver = false;
    const headers = () => ({ ...this.requests.headers(client), ...this.tokens.headers(client) });
    const allowed: AllowedRequest = {
      charge: async (tokens) => {
        await this.tokens.take(client, tokens, headers);
        charged += tokens;
      },
      headers,
      end: (tokens) => {
        if (isOver) return;
        isOver = true;
        const left = this.running.get(client)! - 1;
        if (left === 0) this.running.delete(client);
        else this.running.set(client, left);
        this.tokens.correct(client, tokens - charged);
      },
    };
    try {
      await this.requests.take(client, 1, headers);
    } catch (error) {
      allowed.end(0);
      throw error;
    }
    return allowed;
  }
}

/** So much of one thing in a minute, for each client. */
class Allowance {
  private readonly kind: 'requests' | 'tokens';
  private readonly limit: number;
  private readonly limiter: RateLimiterMemory | undefined;
  /** As of the last time that each took something. */
  private readonly latest = new Map<string, { remaining: number; resetsAt: number }>();

  constructor(kind: 'requests' | 'tokens', limit: number) {
    this.kind = kind;
    this.limit = limit;
    if (limit > 0) this.limiter = new RateLimiterMemory({ points: limit, duration: MINUTE_S });
  }

  async take(client: string, count: number, headers: () => Record<string, string>): Promise<void> {
    if (this.limiter === undefined) return;
    const what = `${this.kind} per min`;
    if (count > this.limit) throw tooLarge(this.kind, what, this.limit, count, headers());
    try {
      this.note(client, await this.limiter.consume(client, count));
    } catch (refusal) {
      if (refusal instanceof Error) throw refusal;
      const { msBeforeNext } = refusal as RateLimiterRes;
      const left = await this.limiter.reward(client, count);
      this.note(client, left);
      throw tooMany(this.kind, what, this.limit, left.consumedPoints, count, msBeforeNext, headers());
    }
  }

  /** Gives back what was not used, or takes what was used on top. */
  correct(client: string, change: number): void {
    if (this.limiter === undefined || change === 0 || !this.latest.has(client)) return;
    // What was taken in a minute that is over is forgotten already.
    if (performance.now() >= this.latest.get(client)!.resetsAt && change < 0) return;
    void this.limiter.penalty(client, change).then((state) => this.note(client, state));
  }

  headers(client: string): Record<string, string> {
    if (this.limiter === undefined) return {};
    const { remaining, resetsAt } = this.latest.get(client) ?? { remaining: this.limit, resetsAt: 0 };
    const ms = resetsAt - performance.now();
    return {
      [`x-ratelimit-limit-${this.kind}`]: String(this.limit),
      [`x-ratelimit-remaining-${this.kind}`]: String(ms > 0 ? remaining : this.limit),
      [`x-ratelimit-reset-${this.kind}`]: formatDuration(Math.max(0, ms)),
    };
  }

  private note(client: string, { consumedPoints, msBeforeNext }: RateLimiterRes): void {
    const remaining = Math.min(this.limit, Math.max(0, this.limit - consumedPoints));
    this.latest.set(client, { remaining, resetsAt: performance.now() + msBeforeNext });
  }
}
