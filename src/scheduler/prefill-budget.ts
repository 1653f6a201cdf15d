import type { StepTimeModel } from './step-time-model.js';

/** What prompts may still take of a step: tokens, and time where a target limits it. */
export class PrefillBudget {
  private readonly model: StepTimeModel;
  private tokens: number;
  private ms: number;
  /** What was spent of it. */
  spentMs = 0;

  /** @param ms Infinity where nothing limits it */
  constructor(model: StepTimeModel, tokens: number, ms: number) {
    this.model = model;
    this.tokens = tokens;
    this.ms = ms;
  }

  /** How many of `wanted` tokens behind `start` positions the budget allows. */
  allows(start: number, wanted: number): number {
    const count = Math.min(wanted, this.tokens);
    return this.ms === Number.POSITIVE_INFINITY ? count : Math.min(count, this.model.largestChunk(start, this.ms));
  }

  spend(start: number, count: number): void {
    this.tokens -= count;
    const ms = this.model.chunkMs(start, count);
    this.ms -= ms;
    this.spentMs += ms;
  }

  /** Has it allow so many tokens behind `start` positions, however long they take. */
  atLeast(start: number, count: number): void {
    this.ms = Math.max(this.ms, this.model.chunkMs(start, count));
  }

  /** A budget of its own, of the tokens that are left and of this time. */
  rest(ms: number): PrefillBudget {
    return new PrefillBudget(this.model, this.tokens, ms);
  }

  /** A budget of its own of half the size. */
  half(): PrefillBudget {
    return new PrefillBudget(this.model, Math.floor(this.tokens / 2), this.ms / 2);
  }
}
