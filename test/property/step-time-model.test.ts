import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addChunk, StepTimeModel, type StepWork } from '../../src/scheduler/step-time-model.js';

/** What a made-up machine needs for each quantity, in ms, from a fast one with a small model to a slow one. */
const machine = fc
  .record({
    row: fc.double({ min: 0.05, max: 20, noNaN: true }),
    output: fc.double({ min: 0, max: 1, noNaN: true }),
    tiledPair: fc.double({ min: 0, max: 0.002, noNaN: true }),
    lonePair: fc.double({ min: 0, max: 0.005, noNaN: true }),
    step: fc.double({ min: 0, max: 10, noNaN: true }),
  })
  .map(({ row, output, tiledPair, lonePair, step }) => (work: StepWork): number => {
    const rows = work.rows + output * work.outputs + tiledPair * work.tiledPairs + lonePair * work.lonePairs + step;
    return row * rows;
  });

const seed = fc.integer({ min: 1, max: 2 ** 31 });

/** Numbers in [0, 1), the same for the same seed. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function stepOf(...chunks: [start: number, count: number][]): StepWork {
  const work: StepWork = { rows: 0, outputs: 0, tiledPairs: 0, lonePairs: 0 };
  for (const [start, count] of chunks) addChunk(work, start, count, count === 1);
  return work;
}

/** Decodes of up to 32 sequences, and with them in every other step a chunk of a prompt. */
function someStep(random: () => number): StepWork {
  const chunks: [number, number][] = Array.from({ length: 1 + random() * 31 }, () => [Math.floor(random() * 1000), 1]);
  if (random() < 0.5) chunks.push([Math.floor(random() * 3000), 2 + Math.floor(random() * 300)]);
  return stepOf(...chunks);
}

/** Up to 5 % more or less. */
const noisy = (ms: number, random: () => number): number => ms * (1 + (random() - 0.5) / 10);

function learn(model: StepTimeModel, truth: (work: StepWork) => number, steps: number, random: () => number): void {
  for (let step = 0; step < steps; step++) {
    const work = someStep(random);
    model.observe(work, noisy(truth(work), random));
  }
}

/** Means over some steps: of the relative error, and of predicted by true times. */
function judge(model: StepTimeModel, truth: (work: StepWork) => number, random: () => number) {
  const ratios = Array.from({ length: 50 }, () => {
    const work = someStep(random);
    return model.predict(work) / truth(work);
  });
  const mean = (values: number[]): number => values.reduce((a, b) => a + b) / values.length;
  return { error: mean(ratios.map((ratio) => Math.abs(ratio - 1))), ratio: mean(ratios) };
}

describe('the model of step times', () => {
  it('learns what steps take, through noise', () => {
    fc.assert(
      fc.property(machine, seed, (truth, seed) => {
        const random = createRandom(seed);
        const model = new StepTimeModel();
        learn(model, truth, 200, random);
        expect(judge(model, truth, random).error).toBeLessThan(0.08);
      }),
    );
  });

  it('has an idea of everything after the first step', () => {
    fc.assert(
      fc.property(machine, seed, (truth, seed) => {
        const model = new StepTimeModel();
        model.observe(stepOf([0, 256]), truth(stepOf([0, 256])));
        const { ratio } = judge(model, truth, createRandom(seed));
        expect(ratio).toBeGreaterThan(0.2);
        expect(ratio).toBeLessThan(5);
      }),
    );
  });

  it('shrugs off a step during which the machine did something else', () => {
    fc.assert(
      fc.property(machine, seed, (truth, seed) => {
        const random = createRandom(seed);
        const model = new StepTimeModel();
        learn(model, truth, 200, random);
        const work = someStep(random);
        const before = model.predict(work);
        model.observe(work, 20 * truth(work));
        expect(model.predict(work)).toBeLessThan(1.3 * before);
      }),
    );
  });

  it('follows a machine that becomes slower or faster', () => {
    fc.assert(
      fc.property(machine, seed, fc.constantFrom(0.5, 2), (truth, seed, factor) => {
        const random = createRandom(seed);
        const model = new StepTimeModel();
        learn(model, truth, 100, random);
        const changed = (work: StepWork): number => factor * truth(work);
        learn(model, changed, 20, random);
        const { ratio } = judge(model, changed, random);
        expect(ratio).toBeGreaterThan(0.8);
        expect(ratio).toBeLessThan(1.25);
      }),
    );
  });

  it('remembers what prompts cost through a long time of decoding', () => {
    fc.assert(
      fc.property(machine, seed, (truth, seed) => {
        const random = createRandom(seed);
        const model = new StepTimeModel();
        learn(model, truth, 200, random);
        const decodes = stepOf([100, 1], [200, 1], [300, 1]);
        for (let step = 0; step < 2000; step++) model.observe(decodes, noisy(truth(decodes), random));
        const mixed = stepOf([100, 1], [200, 1], [1500, 128]);
        expect(model.predict(mixed) / truth(mixed)).toBeGreaterThan(0.8);
        expect(model.predict(mixed) / truth(mixed)).toBeLessThan(1.25);
      }),
      { numRuns: 20 },
    );
  });

  it('gives the largest chunk that fits into a time', () => {
    fc.assert(
      fc.property(machine, seed, fc.nat(4000), fc.integer({ min: 1, max: 600 }), (truth, seed, start, count) => {
        const model = new StepTimeModel();
        learn(model, truth, 50, createRandom(seed));
        expect(model.largestChunk(start, model.chunkMs(start, count))).toBe(count);
        expect(model.largestChunk(start, 0.999 * model.chunkMs(start, count))).toBe(count - 1);
        expect(model.largestChunk(start, -1)).toBe(0);
      }),
    );
  });
});
