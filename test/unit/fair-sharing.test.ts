import { describe, expect, it } from 'vitest';
import { Scheduler, type SchedulerOptions, type StepPlan } from '../../src/scheduler/index.js';

const BLOCK_SIZE = 16;
/** What a step takes in ms, and one more for each token. */
const STEP_MS = 5;

/** Until a tenant is forgotten that asks nothing. */
const FORGOTTEN_MS = 60_000;

/** A scheduler, what waits for it, and who got what. */
class Simulation {
  readonly scheduler: Scheduler;
  /** Steps so far. */
  now = 0;
  /** By request: the step of its first token, and of its end. */
  readonly firstToken = new Map<string, number>();
  readonly ended = new Map<string, number>();
  /** Output tokens by tenant. */
  readonly served = new Map<string, number>();
  private readonly lengths = new Map<string, number>();
  private added = 0;

  constructor(options: Partial<SchedulerOptions> = {}) {
    this.scheduler = new Scheduler({
      numBlocks: 4000,
      blockSize: BLOCK_SIZE,
      enablePrefixCaching: true,
      maxNumSeqs: 8,
      maxNumBatchedTokens: 256,
      targetItlMs: 0,
      maxModelLen: 8192,
      policy: 'continuous',
      batchWindowMs: 0,
      ...options,
    });
  }

  /** @returns the ids of `count` requests that nobody else's are like */
  add(tenant: string, count: number, { prompt = 32, maxTokens = 20, priority = 0, n = 1 } = {}): string[] {
    return Array.from({ length: count }, () => {
      const id = `${tenant}-${this.added++}`;
      const promptTokenIds = Int32Array.from({ length: prompt }, (_, i) => (i === 0 ? 1000 + this.added : i));
      this.scheduler.add({ id, promptTokenIds, maxTokens, n, priority, tenant, cacheSalt: '' });
      this.lengths.set(id, maxTokens);
      return id;
    });
  }

  step(): StepPlan {
    const { scheduler } = this;
    const plan = scheduler.plan(this.now++);
    scheduler.commit(plan);
    scheduler.observe(plan, STEP_MS + plan.tokens);
    for (const { sequence, samples } of plan.scheduled) {
      if (!samples) continue;
      const { requestId, tenant, promptLength } = sequence;
      if (!this.firstToken.has(requestId)) this.firstToken.set(requestId, this.now);
      for (const choice of [sequence, ...scheduler.fork(sequence)]) {
        scheduler.append(choice, 1);
        this.served.set(tenant, (this.served.get(tenant) ?? 0) + 1);
        if (choice.tokens.length - promptLength === this.lengths.get(requestId)) {
          scheduler.finish(choice);
          this.ended.set(requestId, this.now);
        }
      }
    }
    // Costs as much as everything that is live.
    if (this.now % 32 === 0 && scheduler.waitingCount < 2000) scheduler.check();
    return plan;
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) this.step();
  }

  runToEnd(limit = 100_000): void {
    while (this.scheduler.runningCount + this.scheduler.waitingCount > 0) {
      this.step();
      if (this.now > limit) throw new Error('somebody starves');
    }
  }
}

describe('beside a tenant with a thousand requests', () => {
  it('a single one runs at once, although all slots are taken by long answers', () => {
    const simulation = new Simulation();
    simulation.add('flood', 1000, { maxTokens: 200 });
    simulation.run(20);
    const [quiet] = simulation.add('quiet', 1);
    const asked = simulation.now;
    simulation.run(30);
    expect(simulation.firstToken.get(quiet!)! - asked).toBeLessThanOrEqual(2);
    expect(simulation.ended.get(quiet!)! - asked).toBeLessThanOrEqual(22);
    expect(simulation.scheduler.counters.preemptions).toBe(1);
    expect(simulation.scheduler.runningCount).toBe(8);
  });

  it('a single prompt goes before all of theirs that are not computed yet', () => {
    const simulation = new Simulation({ maxNumSeqs: 64 });
    simulation.add('flood', 1000, { prompt: 1000, maxTokens: 200 });
    simulation.run(5);
    const [quiet] = simulation.add('quiet', 1, { prompt: 500 });
    const asked = simulation.now;
    simulation.run(6);
    // The prompt that is being computed keeps half of a step.
    expect(simulation.firstToken.get(quiet!)! - asked).toBeLessThanOrEqual(5);
  });

  it('a single prompt is computed in a step of its own, and theirs lengthen no step by much', () => {
    const simulation = new Simulation({ targetItlMs: 120 });
    simulation.add('flood', 1000, { prompt: 300, maxTokens: 30 });
    const longest = (steps: number): number => {
      const tokens = Array.from({ length: steps }, () => simulation.step().tokens);
      return Math.max(...tokens.slice(10));
    };
    // Alone it may use a step as it likes.
    expect(longest(100)).toBeGreaterThan(90);
    for (let i = 0; i < 5; i++) {
      const [quiet] = simulation.add('quiet', 1, { prompt: 80, maxTokens: 2 });
      const asked = simulation.now;
      // Nothing else is in the step of its prompt, and all go on after it.
      expect(simulation.step().scheduled.map(({ sequence }) => sequence.requestId)).toEqual([quiet]);
      expect(simulation.step().scheduled.length).toBeGreaterThan(2);
      while (!simulation.ended.has(quiet!)) simulation.step();
      expect(simulation.firstToken.get(quiet!)! - asked).toBe(1);
      // Also while the other one asks nothing: it may come at any time.
      expect(longest(30)).toBeLessThan(60);
    }
    simulation.now += FORGOTTEN_MS;
    expect(longest(100)).toBeGreaterThan(90);
  });

  it('long prompts of others take no more than every second step from them', () => {
    const simulation = new Simulation({ targetItlMs: 120 });
    simulation.add('flood', 1000, { maxTokens: 500 });
    simulation.run(20);
    simulation.add('quiet', 3, { prompt: 2000 });
    let missed = 0;
    for (let step = 0; step < 60; step++) {
      const { scheduled } = simulation.step();
      missed = scheduled.some(({ sequence }) => sequence.tenant === 'flood') ? 0 : missed + 1;
      expect(missed).toBeLessThan(2);
    }
  });

  it('a single one gets blocks, although theirs hold all there are', () => {
    const simulation = new Simulation({ numBlocks: 64, maxNumSeqs: 8 });
    simulation.add('flood', 100, { prompt: 100, maxTokens: 150 });
    simulation.run(20);
    const [quiet] = simulation.add('quiet', 1, { prompt: 300 });
    const asked = simulation.now;
    simulation.run(30);
    expect(simulation.firstToken.get(quiet!)! - asked).toBeLessThanOrEqual(4);
    simulation.runToEnd();
    expect(simulation.ended.size).toBe(101);
  });

  it('a stream of single ones never waits for more than a few steps, and is preempted never', () => {
    const simulation = new Simulation();
    simulation.add('flood', 400, { maxTokens: 100 });
    const waits: number[] = [];
    for (let i = 0; i < 40; i++) {
      const [quiet] = simulation.add('quiet', 1);
      const asked = simulation.now;
      while (!simulation.ended.has(quiet!)) simulation.step();
      waits.push(simulation.ended.get(quiet!)! - asked);
    }
    expect(Math.max(...waits)).toBeLessThanOrEqual(23);
    // At most one for each: no sequence goes back and forth.
    expect(simulation.scheduler.counters.preemptions).toBeLessThanOrEqual(40);
  });
});

describe('tenants that all want more than there is', () => {
  it('are served alike, however many requests each has', () => {
    const simulation = new Simulation();
    simulation.add('a', 600);
    simulation.run(50);
    const before = simulation.served.get('a')!;
    simulation.add('b', 300);
    simulation.add('c', 60);
    simulation.run(150);
    const served = [simulation.served.get('a')! - before, simulation.served.get('b')!, simulation.served.get('c')!];
    expect(Math.min(...served) / Math.max(...served)).toBeGreaterThan(0.8);
  });

  it('are served alike when the answers of one are ten times as long', () => {
    const simulation = new Simulation();
    simulation.add('long', 200, { maxTokens: 200 });
    simulation.add('short', 2000);
    simulation.run(1000);
    // A prompt of 32 tokens counts as 16 tokens of answer.
    const cost = (tenant: string, maxTokens: number) => simulation.served.get(tenant)! * (1 + 16 / maxTokens);
    const [long, short] = [cost('long', 200), cost('short', 20)];
    expect(Math.min(long, short) / Math.max(long, short)).toBeGreaterThan(0.8);
  });

  it('do not send each other back for ever', () => {
    const simulation = new Simulation();
    simulation.add('a', 100, { maxTokens: 50 });
    simulation.add('b', 100, { maxTokens: 50 });
    simulation.add('c', 100, { maxTokens: 50 });
    simulation.runToEnd();
    // Eight slots for three: whoever came first gives up what is more than two, once.
    expect(simulation.scheduler.counters.preemptions).toBeLessThan(60);
  });

  it('leave to others what they do not use', () => {
    const simulation = new Simulation();
    simulation.add('a', 100, { maxTokens: 1000 });
    simulation.add('b', 2, { maxTokens: 1000 });
    simulation.run(50);
    expect(simulation.scheduler.runningCount).toBe(8);
  });

  it('save up no claim while they ask for nothing', () => {
    const simulation = new Simulation();
    const [early] = simulation.add('idle', 1);
    simulation.add('busy', 500);
    simulation.run(400);
    expect(simulation.ended.has(early!)).toBe(true);
    const before = simulation.served.get('busy')!;
    simulation.add('idle', 500);
    simulation.run(100);
    expect(simulation.served.get('busy')! - before).toBeGreaterThan(300);
  });
});

describe('priority', () => {
  it('goes before fairness', () => {
    const simulation = new Simulation({ maxNumSeqs: 2 });
    simulation.add('a', 10, { priority: -1 });
    const [late] = simulation.add('b', 1, { priority: 0 });
    simulation.runToEnd();
    expect(simulation.firstToken.get(late!)).toBe(Math.max(...simulation.firstToken.values()));
    expect(simulation.scheduler.counters.preemptions).toBe(0);
  });
});

describe('a request with several choices', () => {
  it('gets the slots for all of them within its share', () => {
    const simulation = new Simulation();
    simulation.add('flood', 100, { maxTokens: 200 });
    simulation.run(20);
    const [quiet] = simulation.add('quiet', 1, { n: 4 });
    simulation.run(25);
    expect(simulation.ended.has(quiet!)).toBe(true);
    expect(simulation.scheduler.counters.preemptions).toBe(4);
  });
});

describe('a queue of a hundred thousand requests', () => {
  it('costs no more than a short one', () => {
    const simulation = new Simulation();
    simulation.add('a', 50_000, { prompt: 4 });
    simulation.add('b', 50_000, { prompt: 4 });
    const began = performance.now();
    simulation.run(500);
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});
