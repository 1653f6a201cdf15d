/** An engine over the page memory of one that ended in the middle of its work. */
import { closeSync, readSync, writeSync } from 'node:fs';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type LoadedEngine, loadEngine } from '../../src/engine/load-engine.js';
import type { EngineConfig, EngineRequest } from '../../src/engine/protocol.js';
import { engineConfig, engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';
import { createRecorder, runToEnd, unfinished } from '../support/run-engine.js';

let modelPath: string;

beforeAll(async () => {
  modelPath = await randomModelPath({ type: 'Q8_0' });
});

async function open(keptMemory: 'new' | number, config: Partial<EngineConfig> = {}) {
  const log: string[] = [];
  const phases: string[] = [];
  const all = engineConfig({ modelPath, threads: 1, kvCacheBytes: 8 << 20, maxModelLen: 512, ...config });
  const loaded = await loadEngine(all, {
    keptMemory,
    onProgress: (phase) => phases.push(phase),
    onLog: (_, message) => log.push(message),
  });
  onTestFinished(loaded.dispose);
  return { loaded, log, phases };
}

const prompt = (length: number, seed: number): Int32Array => pseudoRandomTokens(length, seed, 512);

/** Two share a prefix, one has two choices. */
const requests: EngineRequest[] = [
  engineRequest('a', prompt(200, 1), { sampling: { maxTokens: 40, logprobs: 2 } }),
  engineRequest('b', Int32Array.of(...prompt(150, 1), ...prompt(30, 2)), { sampling: { maxTokens: 40, logprobs: 2 } }),
  engineRequest('c', prompt(90, 3), { n: 2, sampling: { maxTokens: 40, temperature: 1, logprobs: 2 } }),
];

/** As far as 20 tokens of each, without an end. */
function begin({ engine }: LoadedEngine) {
  const recorder = createRecorder();
  for (const request of requests) engine.add(request);
  while ([...recorder.transcripts.values()].every(({ tokens }) => tokens.length < 20)) {
    engine.step();
    recorder.record(engine.takeEvents());
  }
  return recorder;
}

/** What clients see in the end, and how many tokens of their prompts were computed again. */
function goOn(next: LoadedEngine, begun: ReturnType<typeof createRecorder>) {
  const rest = runToEnd(next, unfinished(requests, begun.transcripts));
  const whole = [...begun.transcripts].map(([key, { tokens, logprobs }]) => {
    const more = rest.transcripts.get(key)!;
    return [key, { tokens: [...tokens, ...more.tokens], logprobs: [...logprobs, ...more.logprobs] }] as const;
  });
  return { whole: new Map(whole), computed: next.engine.stats().promptTokensComputed };
}

async function undisturbed() {
  const { loaded } = await open('new');
  return new Map(
    [...runToEnd(loaded, requests).transcripts].map(([key, { tokens, logprobs }]) => [key, { tokens, logprobs }]),
  );
}

describe.runIf(process.platform === 'linux')('page memory that outlives the engine', () => {
  it('is found by the next one: little is computed again, and all bits are the same', async ({ skip }) => {
    const first = await open('new');
    const { keptMemory } = first.loaded;
    skip(keptMemory === undefined, 'this system has no huge pages for shared memory');
    onTestFinished(() => closeSync(keptMemory!));
    const begun = begin(first.loaded);
    first.loaded.dispose();
    const next = await open(keptMemory!, { verdict: first.loaded.info });
    expect(next.loaded.keptMemory).toBe(keptMemory);
    expect(next.phases).not.toContain('self-test');
    expect(next.loaded.info).toEqual({ ...first.loaded.info, loadMs: expect.any(Number) });
    expect(next.log).toContainEqual(expect.stringMatching(/^KV cache of the engine before: \d+ blocks of 16 tokens/));
    const { whole, computed } = goOn(next.loaded, begun);
    expect(whole).toEqual(await undisturbed());
    // At most a block of each choice, and not the 470 tokens that they have.
    expect(computed).toBeLessThanOrEqual(4 * 16);
  });

  it('is not believed where a bit of it has changed', async ({ skip }) => {
    const first = await open('new');
    const { keptMemory } = first.loaded;
    skip(keptMemory === undefined, 'this system has no huge pages for shared memory');
    onTestFinished(() => closeSync(keptMemory!));
    const begun = begin(first.loaded);
    first.loaded.dispose();
    // Of the pages, the first bytes are the first layer's of the pool's first page, the prompt's beginning.
    const byte = new Uint8Array(1);
    readSync(keptMemory!, byte, 0, 1, 100);
    byte[0]! ^= 16;
    writeSync(keptMemory!, byte, 0, 1, 100);
    const { whole, computed } = goOn((await open(keptMemory!)).loaded, begun);
    expect(whole).toEqual(await undisturbed());
    expect(computed).toBeGreaterThanOrEqual(requests[0]!.promptTokenIds.length);
  });

  it('starts empty for an engine that may compute other bits', async ({ skip }) => {
    const first = await open('new');
    const { keptMemory } = first.loaded;
    skip(keptMemory === undefined, 'this system has no huge pages for shared memory');
    onTestFinished(() => closeSync(keptMemory!));
    const begun = begin(first.loaded);
    first.loaded.dispose();
    const next = await open(keptMemory!, { batchInvariant: 'on', verdict: first.loaded.info });
    expect(next.loaded.keptMemory).toBe(keptMemory);
    expect(next.phases).toContain('self-test');
    expect(next.log.join()).not.toContain('KV cache of the engine before');
    expect(goOn(next.loaded, begun).computed).toBeGreaterThan(300);
  });
});
