import { describe, expect, it } from 'vitest';
import { Scheduler, type SchedulerOptions, type StepPlan } from '../../src/scheduler/index.js';

const BLOCK_SIZE = 16;

function createScheduler(options: Partial<SchedulerOptions> = {}): Scheduler {
  return new Scheduler({
    numBlocks: 4000,
    blockSize: BLOCK_SIZE,
    enablePrefixCaching: true,
    maxNumSeqs: 64,
    maxNumBatchedTokens: 512,
    targetItlMs: 0,
    maxModelLen: 8192,
    policy: 'continuous',
    batchWindowMs: 0,
    ...options,
  });
}

function add(scheduler: Scheduler, id: string, length: number, { priority = 0, maxTokens = 1000 } = {}): void {
  // No two prompts begin alike.
  const promptTokenIds = Int32Array.from({ length }, (_, i) => (i === 0 ? [...id].reduce(hash, 7) : i));
  scheduler.add({ id, promptTokenIds, maxTokens, n: 1, priority, cacheSalt: '' });
}

const hash = (state: number, letter: string): number => (state * 31 + letter.charCodeAt(0)) % 1_000_003;

/** Plans and computes a step that takes `msOf(plan)`. */
function step(scheduler: Scheduler, msOf: (plan: StepPlan) => number = () => 0): StepPlan {
  const plan = scheduler.plan(0);
  scheduler.commit(plan);
  for (const { sequence, samples } of plan.scheduled) if (samples) scheduler.append(sequence, 1);
  scheduler.observe(plan, msOf(plan));
  scheduler.check();
  return plan;
}

/** Tokens that a request computes in a step. */
function computed(plan: StepPlan, id: string): number {
  return plan.scheduled.find(({ sequence }) => sequence.requestId === id)?.count ?? 0;
}

function samples(plan: StepPlan, id: string): boolean {
  return plan.scheduled.some(({ sequence, samples }) => sequence.requestId === id && samples);
}

/** A machine whose time is that of its rows and of what they read. */
function msOf({ scheduled }: StepPlan): number {
  return scheduled.reduce((ms, { start, count }) => ms + count * (1 + 0.0005 * (start + count / 2)), 5);
}

describe('a step that prompts share', () => {
  it('gives half to short prompts behind a long one, whatever the order of arrival', () => {
    const scheduler = createScheduler();
    add(scheduler, 'long', 3000);
    expect(computed(step(scheduler), 'long')).toBe(512);
    add(scheduler, 'short', 64);
    add(scheduler, 'shorter', 32);
    const shared = step(scheduler);
    expect(['short', 'shorter'].map((id) => samples(shared, id))).toEqual([true, true]);
    expect(computed(shared, 'long')).toBe(512 - 64 - 32);
  });

  it('never gives the first prompt less than half, however many short ones come', () => {
    const scheduler = createScheduler({ maxNumSeqs: 250 });
    add(scheduler, 'long', 3000);
    let steps = 0;
    for (let plan: StepPlan | undefined; plan === undefined || !samples(plan, 'long'); steps++) {
      for (let i = 0; i < 10; i++) add(scheduler, `short ${steps} ${i}`, 60, { maxTokens: 1 });
      plan = step(scheduler);
      for (const { sequence, samples } of plan.scheduled) if (samples) scheduler.finish(sequence);
    }
    expect(steps).toBe(Math.ceil(3000 / 256));
  });

  it('lets nobody overtake a prompt of better priority', () => {
    const scheduler = createScheduler();
    add(scheduler, 'long', 3000, { priority: -1 });
    add(scheduler, 'short', 64);
    expect(computed(step(scheduler), 'long')).toBe(512);
  });

  it('reaches a short prompt behind several long ones', () => {
    const scheduler = createScheduler();
    for (const id of ['long 1', 'long 2', 'long 3']) add(scheduler, id, 3000);
    add(scheduler, 'short', 64);
    expect(samples(step(scheduler), 'short')).toBe(true);
  });

  it('goes by arrival where prompts are alike', () => {
    const scheduler = createScheduler();
    for (const id of ['first', 'second', 'third']) add(scheduler, id, 400);
    const plan = step(scheduler);
    expect(['first', 'second', 'third'].map((id) => computed(plan, id))).toEqual([400, 112, 0]);
  });
});

describe('a target for the time between tokens', () => {
  const targetItlMs = 100;

  it('cuts prompts so that steps take that long while somebody decodes, at any context', () => {
    const scheduler = createScheduler({ targetItlMs });
    for (let i = 0; i < 15; i++) add(scheduler, `stream ${i}`, 64);
    for (let i = 0; i < 40; i++) step(scheduler, msOf);
    add(scheduler, 'long', 3000);
    const times: number[] = [];
    for (let isComputed = false; !isComputed; ) {
      const plan = step(scheduler, msOf);
      isComputed = samples(plan, 'long');
      if (!isComputed) times.push(msOf(plan));
    }
    expect(Math.max(...times)).toBeLessThan(1.1 * targetItlMs);
    expect(Math.min(...times)).toBeGreaterThan(0.9 * targetItlMs);
  });

  it('does not cut what nobody waits behind', () => {
    const scheduler = createScheduler({ targetItlMs });
    add(scheduler, 'long', 3000);
    for (let i = 0; i < 5; i++) expect(computed(step(scheduler, msOf), 'long')).toBe(512);
  });

  it('leaves prompts a block per step when decodes alone take longer', () => {
    const scheduler = createScheduler({ targetItlMs: 20 });
    for (let i = 0; i < 30; i++) add(scheduler, `stream ${i}`, 64);
    for (let i = 0; i < 200; i++) step(scheduler, msOf);
    add(scheduler, 'late', 128);
    expect(Array.from({ length: 3 }, () => computed(step(scheduler, msOf), 'late'))).toEqual([16, 16, 16]);
  });

  it('is, left to itself, four times what decodes alone take where that is longer', () => {
    const scheduler = createScheduler({ targetItlMs: 'auto' });
    const slow: typeof msOf = (plan) => 4 * msOf(plan);
    for (let i = 0; i < 15; i++) add(scheduler, `stream ${i}`, 64);
    let decodeMs = 0;
    for (let i = 0; i < 40; i++) decodeMs = slow(step(scheduler, slow));
    expect(4 * decodeMs).toBeGreaterThan(225);
    add(scheduler, 'long', 3000);
    for (let i = 0; i < 5; i++) {
      const plan = step(scheduler, slow);
      expect(slow(plan) / decodeMs).toBeGreaterThan(3.6);
      expect(slow(plan) / decodeMs).toBeLessThan(4.4);
    }
  });

  it('is, left to itself, 225 ms where decodes are fast', () => {
    const scheduler = createScheduler({ targetItlMs: 'auto' });
    add(scheduler, 'stream', 64);
    for (let i = 0; i < 40; i++) step(scheduler, msOf);
    add(scheduler, 'long', 3000);
    const ms = msOf(step(scheduler, msOf));
    expect(ms).toBeGreaterThan(0.9 * 225);
    expect(ms).toBeLessThan(1.1 * 225);
  });

  it('gives way to whole tiles of rows, where a step has several', () => {
    const rowTile = 32;
    const limited = (targetItlMs: number): StepPlan[] => {
      const scheduler = createScheduler({ targetItlMs, rowTile });
      for (let i = 0; i < 15; i++) add(scheduler, `stream ${i}`, 64);
      for (let i = 0; i < 40; i++) step(scheduler, msOf);
      add(scheduler, 'long', 3000);
      add(scheduler, 'longer', 4000);
      return Array.from({ length: 10 }, () => step(scheduler, msOf));
    };
    for (const plan of limited(250).slice(0, 8)) {
      expect(plan.tokens % rowTile).toBe(0);
      expect(Math.abs(msOf(plan) / 250 - 1)).toBeLessThan(0.2);
    }
    for (const plan of limited(100).slice(0, 5)) expect(plan.tokens % rowTile).not.toBe(0);
  });

  it('gives way to whole tiles only as far as prompts and the budget reach', () => {
    const scheduler = createScheduler({ maxNumBatchedTokens: 500, rowTile: 32 });
    add(scheduler, 'long', 485);
    expect(step(scheduler).tokens).toBe(485);
    add(scheduler, 'longer', 1200);
    expect(Array.from({ length: 3 }, () => step(scheduler).tokens)).toEqual([480, 480, 243]);
  });

  it('is no limit when it is 0', () => {
    const scheduler = createScheduler({ targetItlMs: 0 });
    add(scheduler, 'stream', 64);
    for (let i = 0; i < 5; i++) step(scheduler, msOf);
    add(scheduler, 'long', 3000);
    expect(computed(step(scheduler, msOf), 'long')).toBe(511);
  });
});
