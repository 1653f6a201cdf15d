import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AdmissionError, Scheduler, type SchedulerOptions, type Sequence } from '../../src/scheduler/index.js';
import { answerAlone, FakeModel } from '../support/fake-model.js';
import { type RandomClient, randomClient } from '../support/random-client.js';

const options: fc.Arbitrary<SchedulerOptions> = fc
  .record({
    numBlocks: fc.integer({ min: 20, max: 60 }),
    blockSize: fc.constantFrom(1, 4, 16),
    enablePrefixCaching: fc.boolean(),
    maxNumSeqs: fc.integer({ min: 1, max: 8 }),
    extraBudget: fc.nat(40),
    rowTile: fc.constantFrom(1, 4, 8),
    policy: fc.constantFrom('continuous' as const, 'continuous' as const, 'dynamic' as const, 'static' as const),
    batchWindowMs: fc.nat(10),
    targetItlMs: fc.constantFrom(0, 5, 20, 'auto' as const),
  })
  .map(({ extraBudget, ...rest }) => ({
    ...rest,
    maxNumBatchedTokens: rest.maxNumSeqs + extraBudget,
    maxModelLen: 80,
  }));

interface Outcome {
  outputs: Map<string, number[]>;
  refused: Set<string>;
  aborted: Set<string>;
  firstTokenOrder: string[];
  scheduler: Scheduler;
}

/** Runs a load to its end, checking the books after every step. */
function serve(options: SchedulerOptions, clients: RandomClient[]): Outcome {
  const scheduler = new Scheduler(options);
  const model = new FakeModel(options.numBlocks, options.blockSize);
  const outcome: Outcome = {
    outputs: new Map(),
    refused: new Set(),
    aborted: new Set(),
    firstTokenOrder: [],
    scheduler,
  };
  const work = clients.reduce((sum, c) => sum + (c.prompt.length + c.maxTokens) * c.n, 0);
  const lastArrival = Math.max(0, ...clients.map((c) => c.arrivesAt));
  const stepLimit = lastArrival + options.batchWindowMs * (clients.length + 1) + work * 20 + 100;
  for (let step = 0; ; step++) {
    if (step > stepLimit) throw new Error(`not finished after ${stepLimit} steps: somebody starves`);
    clients.forEach((c, i) => {
      const id = `r${i}`;
      if (c.arrivesAt === step) {
        try {
          scheduler.add({ id, promptTokenIds: c.prompt, ...c });
        } catch (error) {
          if (!(error instanceof AdmissionError)) throw error;
          outcome.refused.add(id);
        }
      }
      if (c.abortsAfter !== undefined && step === c.arrivesAt + c.abortsAfter && scheduler.has(id)) {
        scheduler.abort(id);
        outcome.aborted.add(id);
      }
    });
    const plan = scheduler.plan(step);
    scheduler.check();
    expect(plan.tokens).toBeLessThanOrEqual(options.maxNumBatchedTokens);
    expect(plan.tokens).toBe(plan.scheduled.reduce((sum, s) => sum + s.count, 0));
    expect(new Set(plan.scheduled.map((s) => s.sequence)).size).toBe(plan.scheduled.length);
    if (scheduler.runningCount > 0) expect(plan.scheduled.length, 'a batch that stands still').toBeGreaterThan(0);
    model.compute(plan);
    scheduler.commit(plan);
    scheduler.observe(plan, plan.tokens * (1 + (step % 5)));
    for (const scheduled of plan.scheduled.filter((s) => s.samples)) {
      const parent = scheduled.sequence;
      const family: Sequence[] = [parent, ...scheduler.fork(parent)];
      if (parent.tokens.length === parent.promptLength) outcome.firstTokenOrder.push(parent.requestId);
      const sampled = family.map((sequence) => ({ sequence, token: model.sample(scheduled, sequence.choice) }));
      for (const { sequence, token } of sampled) {
        const key = `${sequence.requestId}/${sequence.choice}`;
        const output = outcome.outputs.get(key) ?? [];
        outcome.outputs.set(key, output);
        output.push(token);
        scheduler.append(sequence, token);
        const { maxTokens } = clients[Number(sequence.requestId.slice(1))];
        if (output.length === maxTokens) scheduler.finish(sequence);
      }
    }
    scheduler.check();
    if (step >= lastArrival && scheduler.runningCount === 0 && scheduler.waitingCount === 0) return outcome;
  }
}

describe('the scheduler over its KV cache', () => {
  it('gives every request the answer it gets alone, leaks nothing and starves nobody', () => {
    fc.assert(
      fc.property(options, fc.array(randomClient, { minLength: 1, maxLength: 14 }), (options, clients) => {
        const { outputs, refused, aborted, scheduler } = serve(options, clients);
        clients.forEach((c, i) => {
          const id = `r${i}`;
          for (let choice = 0; choice < c.n; choice++) {
            const output = outputs.get(`${id}/${choice}`) ?? [];
            const alone = answerAlone(c.prompt, choice, c.maxTokens);
            if (refused.has(id)) expect(output).toEqual([]);
            else if (aborted.has(id)) expect(output).toEqual(alone.slice(0, output.length));
            else expect(output).toEqual(alone);
          }
        });
        expect(scheduler.blocks().used).toBe(0);
      }),
      { numRuns: 600 },
    );
  });

  it('refuses only what can never fit', () => {
    fc.assert(
      fc.property(options, randomClient, (options, c) => {
        const { refused } = serve(options, [{ ...c, abortsAfter: undefined }]);
        const length = c.prompt.length + c.maxTokens;
        const fits =
          length <= options.maxModelLen &&
          Math.ceil(length / options.blockSize) <= options.numBlocks &&
          c.n <= options.maxNumSeqs;
        expect(refused.size).toBe(fits ? 0 : 1);
      }),
    );
  });

  it('serves equal priorities in the order in which they came, when nobody can overtake by a shorter prompt', () => {
    fc.assert(
      fc.property(options, fc.array(fc.nat(3), { minLength: 2, maxLength: 12 }), (options, priorities) => {
        const clients = priorities.map((priority, i) => ({
          prompt: Int32Array.from({ length: 10 }, (_, j) => i * 10 + j),
          maxTokens: 5,
          n: 1,
          priority,
          tenant: '',
          cacheSalt: '',
          arrivesAt: 0,
          abortsAfter: undefined,
        }));
        const { firstTokenOrder, refused } = serve({ ...options, numBlocks: 20 }, clients);
        if (refused.size > 0) return;
        const expected = priorities.map((_, i) => i).sort((a, b) => priorities[a] - priorities[b] || a - b);
        expect(firstTokenOrder.map((id) => Number(id.slice(1)))).toEqual(expected);
      }),
    );
  });
});
