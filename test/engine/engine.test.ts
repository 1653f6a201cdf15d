import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { LoadedEngine } from '../../src/engine/load-engine.js';
import type { EngineConfig, EngineEvent } from '../../src/engine/protocol.js';
import { engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';
import { createRecorder, openEngine, runToEnd } from '../support/run-engine.js';

let modelPath: string;
let loaded: LoadedEngine | undefined;

beforeAll(async () => {
  modelPath = await randomModelPath({ type: 'Q8_0' });
});

afterEach(() => {
  loaded?.dispose();
  loaded = undefined;
});

async function open(config: Partial<EngineConfig> = {}): Promise<LoadedEngine> {
  loaded = await openEngine({ modelPath, threads: 1, ...config });
  return loaded;
}

const prompt = (length: number, seed = 1): Int32Array => pseudoRandomTokens(length, seed, 512);

/** Requests that got a token in a step. */
const served = (events: EngineEvent[]): Set<string> =>
  new Set(events.filter((event) => event.type === 'token').map((event) => event.requestId));

describe('the running batch', () => {
  it('takes a waiting sequence in the step after a slot becomes free, and interrupts nobody', async () => {
    const { engine } = await open({ maxNumSeqs: 2 });
    engine.add(engineRequest('short', prompt(10, 1), { sampling: { maxTokens: 5 } }));
    engine.add(engineRequest('long', prompt(10, 2), { sampling: { maxTokens: 20 } }));
    engine.add(engineRequest('waiting', prompt(10, 3), { sampling: { maxTokens: 5 } }));
    const perStep: Set<string>[] = [];
    while (engine.step()) perStep.push(served(engine.takeEvents()));
    const steps = (id: string) => perStep.flatMap((ids, step) => (ids.has(id) ? [step] : []));
    expect(steps('short')).toEqual([0, 1, 2, 3, 4]);
    expect(steps('waiting')).toEqual([5, 6, 7, 8, 9]);
    expect(steps('long')).toEqual(Array.from({ length: 20 }, (_, step) => step));
  });

  it('goes on decoding while a long prompt is computed in chunks', async () => {
    const { engine } = await open({ maxNumSeqs: 4, maxNumBatchedTokens: 32 });
    engine.add(engineRequest('stream', prompt(8), { sampling: { maxTokens: 40 } }));
    engine.step();
    engine.takeEvents();
    engine.add(engineRequest('long', prompt(300, 2), { sampling: { maxTokens: 2 } }));
    let steps = 0;
    for (let events: EngineEvent[] = []; !served(events).has('long'); steps++) {
      engine.step();
      events = engine.takeEvents();
      expect(served(events)).toContain('stream');
    }
    expect(steps).toBe(Math.ceil(300 / 31));
  });

  it('completes 64 requests of mixed lengths through 16 slots', async () => {
    const loaded = await open({ maxNumSeqs: 16 });
    const requests = Array.from({ length: 64 }, (_, i) =>
      engineRequest(`r${i}`, prompt(1 + ((i * 29) % 90), i), { sampling: { maxTokens: 1 + ((i * 13) % 40) } }),
    );
    const { transcripts } = runToEnd(loaded, requests);
    requests.forEach((request) => {
      const { tokens, reason } = transcripts.get(`${request.id}/0`)!;
      expect([tokens.length, reason]).toEqual([request.sampling.maxTokens, 'length']);
    });
  });

  it.each(['dynamic', 'static'] as const)('admits nobody into a running batch with policy %s', async (policy) => {
    const { engine } = await open({ policy, batchWindowMs: 0, maxNumSeqs: 8 });
    engine.add(engineRequest('first', prompt(10), { sampling: { maxTokens: 4 } }));
    engine.step();
    engine.add(engineRequest('late', prompt(10, 2), { sampling: { maxTokens: 2 } }));
    const order: string[] = [...served(engine.takeEvents())];
    while (engine.step()) order.push(...served(engine.takeEvents()));
    expect(order).toEqual(['first', 'first', 'first', 'first', 'late', 'late']);
  });
});

describe('shared prefixes', () => {
  it('are computed once for 32 clients that come at the same moment', async () => {
    const { engine, info } = await open({ maxNumSeqs: 32, maxNumBatchedTokens: 256, maxModelLen: 2048 });
    const shared = prompt(1000);
    const recorder = createRecorder();
    for (let i = 0; i < 32; i++) {
      const own = prompt(20, i + 2);
      engine.add(engineRequest(`r${i}`, Int32Array.from([...shared, ...own]), { sampling: { maxTokens: 8 } }));
    }
    let mostBlocks = 0;
    while (engine.step()) {
      recorder.record(engine.takeEvents());
      mostBlocks = Math.max(mostBlocks, engine.stats().blocksUsed);
    }
    const sharedBlocks = Math.floor(1000 / info.blockSize);
    const cached = Array.from({ length: 32 }, (_, i) => recorder.cachedTokens.get(`r${i}`));
    expect(cached.filter((tokens) => tokens === 0)).toHaveLength(1);
    expect(cached.filter((tokens) => tokens === sharedBlocks * info.blockSize)).toHaveLength(31);
    // The prefix once; for each client its own tokens and what the prefix has in its last block.
    expect(engine.stats().promptTokensComputed).toBe(1020 + 31 * (1020 - sharedBlocks * info.blockSize));
    expect(mostBlocks).toBeLessThanOrEqual(sharedBlocks + 32 * 3);
  });

  it('stay cached after 500 finished chats, and free blocks are all there is between them', async () => {
    const loaded = await open({ maxNumSeqs: 64, maxModelLen: 1024 });
    const chats = Array.from({ length: 500 }, (_, i) =>
      engineRequest(`chat${i}`, prompt(40, i), { sampling: { maxTokens: 2 } }),
    );
    runToEnd(loaded, chats);
    const { blocksUsed, blocksCached, blocksTotal, blocksFree } = loaded.engine.stats();
    expect(blocksUsed).toBe(0);
    expect(blocksCached).toBe(2 * 500);
    expect(blocksCached + blocksFree).toBe(blocksTotal);
    const { cachedTokens } = runToEnd(loaded, [engineRequest('again', prompt(40, 0), {})]);
    expect(cachedTokens.get('again')).toBe(32);
  });

  it('are not shared between different cache salts', async () => {
    const loaded = await open();
    runToEnd(loaded, [engineRequest('a', prompt(100), { cacheSalt: 'one' })]);
    const { cachedTokens } = runToEnd(loaded, [
      engineRequest('b', prompt(100), { cacheSalt: 'two' }),
      engineRequest('c', prompt(100), { cacheSalt: 'one' }),
    ]);
    expect(cachedTokens.get('b')).toBe(0);
    expect(cachedTokens.get('c')).toBe(96);
  });
});

describe('n choices', () => {
  it('compute their prompt once and differ by their random numbers alone', async () => {
    const loaded = await open();
    const request = engineRequest('r', prompt(100), { n: 8, sampling: { temperature: 1, seed: 5, logprobs: 1 } });
    const { transcripts } = runToEnd(loaded, [request]);
    expect(loaded.engine.stats().promptTokensComputed).toBe(100);
    const texts = Array.from({ length: 8 }, (_, choice) => transcripts.get(`r/${choice}`)!.tokens.join());
    expect(new Set(texts).size).toBeGreaterThan(1);
    // Choice 0 of a request with fewer choices is the same.
    const { transcripts: single } = runToEnd(loaded, [{ ...request, id: 's', n: 1, cacheSalt: 'other' }]);
    expect(single.get('s/0')).toEqual(transcripts.get('r/0'));
  });

  it('can be aborted one by one', async () => {
    const { engine } = await open();
    engine.add(engineRequest('r', prompt(20), { n: 3, sampling: { maxTokens: 10 } }));
    engine.step();
    engine.step();
    engine.takeEvents();
    engine.abort('r', 1);
    engine.step();
    const choices = engine.takeEvents().flatMap((event) => (event.type === 'token' ? [event.choice] : []));
    expect(choices).toEqual([0, 2]);
  });
});

describe('the end of a request', () => {
  it('frees its blocks within a step when it is aborted, running or waiting', async () => {
    const { engine } = await open({ maxNumSeqs: 2, enablePrefixCaching: false });
    engine.add(engineRequest('running', prompt(100)));
    engine.add(engineRequest('waiting', prompt(100), { n: 2 }));
    engine.step();
    expect(engine.stats().blocksUsed).toBe(7);
    engine.takeEvents();
    engine.abort('running');
    engine.abort('waiting');
    expect(engine.takeEvents().map((event) => [event.requestId, event.type === 'finished' && event.reason])).toEqual([
      ['running', 'abort'],
      ['waiting', 'abort'],
      ['waiting', 'abort'],
    ]);
    expect(engine.step()).toBe(false);
    expect(engine.stats()).toMatchObject({ blocksUsed: 0, runningSequences: 0, waitingRequests: 0 });
  });

  it('is at a stop token, at an end token unless ignored, and never before min_tokens', async () => {
    const loaded = await open();
    const eos = 1;
    const likely = { logitBias: [[eos, 1000]] as const };
    const { transcripts } = runToEnd(loaded, [
      engineRequest('eos', prompt(10), { sampling: { ...likely, ignoreEos: false } }),
      engineRequest('late', prompt(10), { sampling: { ...likely, ignoreEos: false, minTokens: 4 } }),
      engineRequest('ignored', prompt(10), { sampling: { ...likely, maxTokens: 6 } }),
      engineRequest('stop', prompt(10), { sampling: { ...likely, stopTokenIds: [eos] } }),
    ]);
    const end = (id: string) => {
      const { tokens, reason } = transcripts.get(`${id}/0`)!;
      return [tokens.length, tokens.at(-1) === eos, reason];
    };
    expect(end('eos')).toEqual([1, true, 'stop']);
    expect(end('late')).toEqual([5, true, 'stop']);
    expect(end('ignored')).toEqual([6, true, 'length']);
    expect(end('stop')).toEqual([1, true, 'stop']);
  });

  it('comes at once, with the reason, for a request that can never fit', async () => {
    const { engine, info } = await open({ maxModelLen: 128 });
    engine.add(engineRequest('huge', prompt(120), { sampling: { maxTokens: 9 } }));
    expect(engine.step()).toBe(false);
    expect(engine.takeEvents()).toEqual([
      {
        type: 'rejected',
        requestId: 'huge',
        message: `120 prompt and 9 output tokens exceed the maximum length of ${info.maxModelLen}`,
      },
    ]);
  });
});

describe('block sizes', () => {
  it.each([32, 64])('of %i tokens give the same answers as 16', async (blockSize) => {
    const requests = Array.from({ length: 6 }, (_, i) =>
      engineRequest(`r${i}`, Int32Array.from([...prompt(70), ...prompt(5 + i * 9, i)]), {
        n: 1 + (i % 2),
        sampling: { logprobs: 0, maxTokens: 30 },
      }),
    );
    const small = runToEnd(await open(), requests).transcripts;
    loaded!.dispose();
    const large = runToEnd(await open({ blockSize }), requests).transcripts;
    expect(large).toEqual(small);
  });
});
