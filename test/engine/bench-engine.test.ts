import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Cache, openPages, openStock, prefill } from '../../bench/engine/caches.js';
import { openObservedEngine } from '../../bench/engine/observed-engine.js';
import { OPERATIONS, openOperationTimer } from '../../bench/engine/operation-timer.js';
import { openRig, type Rig } from '../../bench/engine/rig.js';
import { decodeStepMs } from '../../bench/engine/turns.js';
import { engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';
import { createRecorder } from '../support/run-engine.js';

let rig: Rig;
beforeAll(async () => {
  rig = await openRig(await randomModelPath({ type: 'Q8_0' }), 1);
});
afterAll(() => rig.dispose());

describe.each([1, 2])('an observed engine of %i threads', (threads) => {
  let own: Rig;
  beforeAll(async () => {
    own = await openRig(await randomModelPath({ type: 'Q8_0' }), threads);
  });
  afterAll(() => own.dispose());

  /** Tokens of four requests, with every step replayed after it or not, and in how many parts steps were computed. */
  function answers(replays: boolean): { tokens: number[][]; parts: Set<number> } {
    const observed = openObservedEngine(own, { maxNumSeqs: 2, tokens: 1_024 });
    const parts = new Set<number>();
    try {
      const { engine } = observed;
      const recorder = createRecorder();
      for (let i = 0; i < 4; i++) {
        const prompt = pseudoRandomTokens(20 + 30 * i, i, own.model.vocab.size);
        engine.add(engineRequest(`${i}`, prompt, { sampling: { maxTokens: 12 } }));
      }
      for (let steps = 1; engine.hasWork(); ) {
        observed.record();
        engine.step();
        recorder.record(engine.takeEvents());
        const recorded = observed.takeRecord().steps;
        expect(recorded).toHaveLength(1);
        parts.add(recorded[0]!.length);
        if (replays) for (const step of recorded) observed.replay(step);
        const { run, decode, decoded, sample } = observed.marks;
        expect([run, decode, decoded, sample]).toEqual([run, decode, decoded, sample].toSorted((a, b) => a - b));
        expect(engine.stats().steps).toBe(steps++);
      }
      return { tokens: [...recorder.transcripts.values()].map(({ tokens }) => tokens), parts };
    } finally {
      observed.dispose();
    }
  }

  test('answers the same when its steps are replayed behind its back, large ones in lanes', () => {
    const undisturbed = answers(false);
    expect(undisturbed.tokens.map((tokens) => tokens.length)).toEqual([12, 12, 12, 12]);
    expect(undisturbed.parts).toEqual(new Set([1, threads]));
    expect(answers(true)).toEqual(undisturbed);
  });
});

describe('caches driven by hand', () => {
  const room = { sequences: 4, tokensPerSequence: 128, batchSize: 32 };
  const openers: [string, () => Cache][] = [
    ['pages', () => openPages(rig, room)],
    ['stock, unified', () => openStock(rig, { ...room, unified: true })],
    ['stock, streams', () => openStock(rig, { ...room, unified: false })],
  ];

  test.each(openers)('%s decode copies beside the original and are as long afterwards as before', (label, open) => {
    const cache = open();
    prefill(cache, 0, 70, room.batchSize);
    cache.copy(0, 1);
    cache.copy(0, 3);
    expect(decodeStepMs(cache, [0, 1, 3], 4)).toBeGreaterThan(0);
    expect([0, 1, 2, 3].map(cache.length)).toEqual([70, 70, 0, 70]);
    cache.rewind(1, 0);
    prefill(cache, 1, 20, room.batchSize);
    expect(cache.length(1)).toBe(20);
    expect(cache.label).toBe(label);
    cache.dispose();
  });

  test.each(openers.slice(0, 2))('%s go on behind a shared prefix', (_, open) => {
    const cache = open();
    prefill(cache, 0, 64, room.batchSize);
    for (const sequence of [1, 2]) {
      cache.share(0, sequence);
      prefill(cache, sequence, 10, room.batchSize);
    }
    decodeStepMs(cache, [1, 2], 2);
    expect([0, 1, 2].map(cache.length)).toEqual([64, 74, 74]);
    cache.dispose();
  });
});

test.each([
  ['pages', openPages],
  ['stock', (at: Rig, room: Parameters<typeof openPages>[1]) => openStock(at, { ...room, unified: true })],
] as const)('the operation timer sees all kinds of work over %s, and less than the step took', (_, open) => {
  const timer = openOperationTimer(rig.llama.ggmlBaseLibrary);
  const room = { sequences: 1, tokensPerSequence: 64, batchSize: 64 };
  const cache = open(rig, { ...room, evalCallback: timer.evalCallback });
  const began = performance.now();
  prefill(cache, 0, 64, 64);
  const stepMs = performance.now() - began;
  const times = timer.take();
  for (const kind of OPERATIONS) expect(times[kind]).toBeGreaterThan(0);
  expect(OPERATIONS.reduce((sum, kind) => sum + times[kind], 0)).toBeLessThan(stepMs);
  expect(timer.take()).toEqual({ matmul: 0, attention: 0, rest: 0 });
  cache.dispose();
  timer.dispose();
});
