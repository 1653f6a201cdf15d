import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { LoadedEngine } from '../../src/engine/load-engine.js';
import type { EngineConfig, EngineRequest, SamplingParams } from '../../src/engine/protocol.js';
import { defaultModelPath } from '../support/default-model.js';
import { engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';
import { createRecorder, openEngine, runToEnd, type Transcript, unfinished } from '../support/run-engine.js';
import { LEVELS } from './attention-harness.js';

interface Setting {
  name: string;
  modelPath(): Promise<string>;
  batchInvariant: EngineConfig['batchInvariant'];
  /** Length of the longest prompt; the budget per step cuts it several times. */
  longest: number;
  maxTokens: number;
  requests: number;
  /** Blocks that hold few of the requests at once. */
  tinyPool: number;
}

const settings: Setting[] = [
  ...(['Q8_0', 'Q4_0'] as const).map((type) => ({
    name: `a random model, ${type} weights`,
    modelPath: () => randomModelPath({ type, heads: 4, kvHeads: 2 }),
    batchInvariant: 'auto' as const,
    longest: 300,
    maxTokens: 48,
    requests: 40,
    tinyPool: 36,
  })),
  ...(['Q4_K_M', 'F16'] as const).map((type) => ({
    name: `a random model, ${type} weights, rows padded`,
    modelPath: () => randomModelPath({ type, heads: 4, kvHeads: 2 }),
    batchInvariant: 'on' as const,
    longest: 300,
    maxTokens: 48,
    requests: 40,
    tinyPool: 36,
  })),
  {
    name: 'SmolLM2',
    modelPath: defaultModelPath,
    batchInvariant: 'auto',
    longest: 160,
    maxTokens: 24,
    requests: 16,
    tinyPool: 24,
  },
];

const samplings: Partial<SamplingParams>[] = [
  { temperature: 0 },
  { temperature: 1, seed: 11 },
  { temperature: 0.8, topK: 40, topP: 0.9, seed: 12 },
  { temperature: 1.2, minP: 0.02, repetitionPenalty: 1.1, presencePenalty: 0.4, seed: 13 },
  { temperature: 0, frequencyPenalty: 0.5 },
];

/** Greedy and seeded requests of mixed lengths; two of three share one of two prefixes; some have several choices. */
function crowd({ requests, longest, maxTokens }: Setting, vocabSize: number): EngineRequest[] {
  return Array.from({ length: requests }, (_, i) => {
    const own = pseudoRandomTokens(5 + ((i * 37) % (longest / 2)), i + 10, vocabSize);
    const shared = i % 3 === 2 ? [] : pseudoRandomTokens(longest / 2 + 1, i % 3, vocabSize);
    return engineRequest(`r${i}`, Int32Array.from([...shared, ...own]), {
      n: i % 7 === 3 ? 3 : 1,
      priority: i % 5 === 4 ? -1 : 0,
      sampling: { ...samplings[i % samplings.length], logprobs: 3, maxTokens: maxTokens - (i % 4) * 3 },
    });
  });
}

describe.each(settings)('alone and in a crowd: $name', (setting) => {
  let modelPath: string;
  let alone: Map<string, Transcript>;
  let requests: EngineRequest[];

  /** What each request gets when nobody else is there. */
  async function answerAlone(): Promise<Map<string, Transcript>> {
    const answers = new Map<string, Transcript>();
    const engine = await openEngine({ modelPath, batchInvariant: setting.batchInvariant, maxModelLen: 1024 });
    expect(engine.info.batchInvariant, engine.info.batchInvariantReason).toBe(true);
    requests = crowd(setting, engine.info.vocabSize);
    for (const request of requests) {
      // A salt of its own: nothing of the earlier ones is shared.
      const { transcripts } = runToEnd(engine, [{ ...request, cacheSalt: request.id }]);
      for (const [key, transcript] of transcripts) answers.set(key, transcript);
    }
    engine.dispose();
    return answers;
  }

  beforeAll(async () => {
    modelPath = await setting.modelPath();
    alone = await answerAlone();
  });

  afterEach(() => vi.unstubAllEnvs());

  async function inCrowd(
    config: Partial<EngineConfig>,
    check: (loaded: LoadedEngine, recorder: ReturnType<typeof runToEnd>) => void,
    answers = alone,
  ) {
    const loaded = await openEngine({ modelPath, batchInvariant: setting.batchInvariant, maxModelLen: 512, ...config });
    const { engine, info } = loaded;
    // Holes in the pool: every other of many short requests is gone when the crowd comes.
    const junk = Array.from({ length: 12 }, (_, i) =>
      engineRequest(`junk${i}`, pseudoRandomTokens(20 + i, 900 + i, info.vocabSize), { sampling: { maxTokens: 60 } }),
    );
    for (const request of junk) engine.add(request);
    for (let step = 0; step < 8; step++) engine.step();
    for (let i = 0; i < junk.length; i += 2) engine.abort(`junk${i}`);
    engine.takeEvents();

    const recorder = runToEnd(loaded, requests.slice(0, 8), (step) => {
      for (const request of requests.slice(8 + 3 * step, 11 + 3 * step)) engine.add(request);
      if (step === 6) for (let i = 1; i < junk.length; i += 4) engine.abort(`junk${i}`);
      if (step === 9) engine.abort('r6');
    });
    for (const request of requests) {
      for (let choice = 0; choice < request.n; choice++) {
        const key = `${request.id}/${choice}`;
        const expected = answers.get(key)!;
        const actual = recorder.transcripts.get(key) ?? { tokens: [], logprobs: [], reason: undefined };
        if (actual.reason === 'abort') {
          expect(request.id).toBe('r6');
          expect(actual.tokens).toEqual(expected.tokens.slice(0, actual.tokens.length));
        } else {
          expect(actual, key).toEqual(expected);
        }
      }
    }
    check(loaded, recorder);
    expect(engine.stats()).toMatchObject({ blocksUsed: 0, runningSequences: 0, waitingRequests: 0 });
    loaded.dispose();
  }

  it('has the same tokens and log-probabilities to the last bit: shared prefixes, chunks, 2 threads', async () => {
    await inCrowd({ maxNumBatchedTokens: 96 }, ({ engine }, { cachedTokens }) => {
      expect(engine.stats().prefixHitTokens).toBeGreaterThan(0);
      expect(Math.max(...cachedTokens.values())).toBeGreaterThanOrEqual(setting.longest / 2 - 16);
    });
  });

  it.each(LEVELS.slice(1))('has the same bits with the instruction set %s', async (level) => {
    vi.stubEnv('QUIRE_KERNEL', level);
    // The portable kernel rounds products, the others do not: it has bits of its own.
    const answers = level === 'portable' ? await answerAlone() : alone;
    await inCrowd({ maxNumBatchedTokens: 96 }, ({ info }) => expect(info.kernel).toBe(level), answers);
  });

  it('has the same bits when a tiny pool forces preemption, on 1 thread, without a prefix cache', async () => {
    const kvCacheBytes = await poolOf(modelPath, setting.tinyPool);
    await inCrowd(
      { maxNumBatchedTokens: 64, kvCacheBytes, threads: 1, enablePrefixCaching: false, maxModelLen: 0 },
      ({ engine }) => expect(engine.stats().preemptions).toBeGreaterThan(0),
    );
  });

  it('has the same bits when a tiny pool forces preemption and eviction of shared blocks, and chunks follow the clock', async () => {
    const kvCacheBytes = await poolOf(modelPath, setting.tinyPool);
    const config = { maxNumBatchedTokens: 200, kvCacheBytes, maxModelLen: 0, targetItlMs: 5 };
    await inCrowd(config, ({ engine }) => {
      expect(engine.stats().preemptions).toBeGreaterThan(0);
      expect(engine.stats().prefixHitTokens).toBeGreaterThan(0);
    });
  });
});

/** What a choice gets must not show how many engines have worked on it. */
describe('taken over by another engine', () => {
  it.each(settings.slice(0, 2))('$name', async (setting) => {
    const modelPath = await setting.modelPath();
    const config = { modelPath, maxModelLen: 1024, maxNumBatchedTokens: 96, batchInvariant: setting.batchInvariant };
    let engine = await openEngine(config);
    try {
      const requests = crowd(setting, engine.info.vocabSize);
      const undisturbed = runToEnd(engine, requests).transcripts;
      const { transcripts, record } = createRecorder();
      let rest = requests;
      for (let deaths = 0; rest.length > 0; deaths++) {
        // Nothing of the one before is left.
        engine.dispose();
        engine = await openEngine(config);
        for (const request of rest) engine.engine.add(request);
        // It dies sooner and later, in prompts and in answers.
        for (let step = 0; step < 4 * 2 ** deaths && engine.engine.step(); step++) record(engine.engine.takeEvents());
        rest = unfinished(requests, transcripts);
        expect(deaths).toBeLessThan(12);
      }
      expect(transcripts).toEqual(undisturbed);
    } finally {
      engine.dispose();
    }
  });
});

const bytesPerBlock = new Map<string, number>();

/** Bytes of a pool of `blocks` blocks for this model. */
async function poolOf(modelPath: string, blocks: number): Promise<number> {
  if (!bytesPerBlock.has(modelPath)) {
    const { info, dispose } = await openEngine({ modelPath, maxModelLen: 64, maxNumSeqs: 1 });
    bytesPerBlock.set(modelPath, info.kvCacheBytes / info.numBlocks);
    dispose();
  }
  return bytesPerBlock.get(modelPath)! * blocks;
}

afterAll(() => bytesPerBlock.clear());
