import { describe, expect, it, vi } from 'vitest';
import type { EngineConfig, EngineEvent, EngineRequest } from '../../src/engine/protocol.js';
import { EngineStartError, type StartEngine } from '../../src/serving/engines/engine-client.js';
import type { SupervisedEngine } from '../../src/serving/engines/supervised-engine.js';
import { superviseEngine } from '../../src/serving/engines/supervisor.js';
import { EngineUnavailableError } from '../../src/serving/errors.js';
import { embedRequest, engineConfig, engineRequest } from '../support/engine-requests.js';
import { createFakeEngine, type FakeEngine, type FakeEngineOptions } from '../support/fake-engine.js';
import { createRecorder } from '../support/run-engine.js';

const FAILURE = { reason: 'It died.' };

/** Engines whose steps are ours to make, and what supervises them. */
type Options = FakeEngineOptions & { delays?: number[]; retryMs?: number };

async function open({ delays = [0, 0, 0, 0, 0, 0], retryMs = 60_000, ...options }: Options = {}) {
  const engines: FakeEngine[] = [];
  const configs: EngineConfig[] = [];
  let fails = 0;
  const startEngine: StartEngine = async (config) => {
    configs.push(config);
    if (fails > 0) {
      fails--;
      throw new EngineStartError('It does not start.');
    }
    const engine = createFakeEngine({ pace: 'manual', ...options });
    engines.push(engine);
    return engine;
  };
  const supervised = await superviseEngine({
    config: engineConfig(),
    hooks: {},
    startEngine,
    restartDelaysMs: delays,
    keepsKVCache: false,
    retryMs,
  });
  const latest = (): FakeEngine => engines.at(-1)!;
  return {
    supervised,
    engines,
    configs,
    latest,
    failStarts(count: number) {
      fails = count;
    },
    /** The engine dies, and its successor is there. */
    async die() {
      const count = engines.length;
      latest().die(FAILURE);
      await vi.waitUntil(() => engines.length > count);
      await Promise.resolve();
    },
  };
}

const request = (id: string, overrides: Parameters<typeof engineRequest>[2] = {}): EngineRequest =>
  engineRequest(id, Int32Array.of(1, 2, 3), { ...overrides, sampling: { maxTokens: 6, ...overrides.sampling } });

function submit(supervised: SupervisedEngine, ...requests: EngineRequest[]) {
  const recorder = createRecorder();
  for (const one of requests) supervised.submit(one, (events) => recorder.record(events));
  return recorder.transcripts;
}

/** What one that nobody disturbs says. */
async function undisturbed(...requests: EngineRequest[]) {
  const { supervised, latest } = await open();
  const transcripts = submit(supervised, ...requests);
  for (let i = 0; i < 10; i++) latest().step();
  return transcripts;
}

it('the next engine has the sizes of the one before, and need not test itself again', async () => {
  const { configs, engines, die } = await open();
  await die();
  const { kvCacheBytes, maxModelLen, batchInvariant, rowPadding, lanes, selfTested } = engines[0]!.info;
  expect(selfTested).toEqual(expect.any(String));
  expect(configs[0]!.verdict).toBeUndefined();
  expect(configs[1]).toMatchObject({
    kvCacheBytes,
    maxModelLen,
    verdict: { batchInvariant, rowPadding, lanes, selfTested },
  });
});

describe('requests whose engine dies', () => {
  it('go on where they were, every choice of them', async () => {
    const requests = [request('a', { n: 3 }), request('b', { sampling: { maxTokens: 3 } })];
    const { supervised, engines, latest, die } = await open();
    const transcripts = submit(supervised, ...requests);
    latest().step();
    latest().step();
    await die();
    expect(latest().requests.map(({ resume }) => resume)).toMatchObject([
      [0, 1, 2].map((choice) => ({ choice, tokens: [97 + choice, 98 + choice] })),
      [{ choice: 0, tokens: [97, 98] }],
    ]);
    latest().step();
    await die();
    expect(latest().requests.map(({ id }) => id)).toEqual(['a']);
    for (let i = 0; i < 4; i++) latest().step();
    expect(transcripts).toEqual(await undisturbed(...requests));
    expect(engines).toHaveLength(3);
    expect(supervised.restarts()).toBe(2);
  });

  it('are begun anew where they had not begun', async () => {
    const { supervised, latest, die } = await open({ info: { maxNumSeqs: 1 } });
    const transcripts = submit(supervised, request('a'), request('b'));
    latest().step();
    await die();
    expect(latest().requests.map(({ id, resume }) => [id, resume !== null])).toEqual([
      ['a', true],
      ['b', false],
    ]);
    for (let i = 0; i < 12; i++) latest().step();
    expect([...transcripts.values()].map(({ reason }) => reason)).toEqual(['length', 'length']);
  });

  it('and prompts to embed', async () => {
    const { supervised, latest, die } = await open();
    const events: EngineEvent[] = [];
    supervised.embed(embedRequest('e', Int32Array.of(4)), (some) => events.push(...some));
    await die();
    latest().step();
    expect(events.map(({ type }) => type)).toEqual(['embedding', 'finished']);
  });

  it('are not begun again when they were aborted', async () => {
    const { supervised, latest, die } = await open();
    const transcripts = submit(supervised, request('a'), request('b', { n: 2 }));
    latest().step();
    supervised.abort('a');
    supervised.abort('b', 0);
    await die();
    expect([...transcripts.values()].map(({ reason }) => reason)).toEqual(['abort', 'abort', undefined]);
    expect(latest().requests).toMatchObject([{ id: 'b', resume: [{ choice: 1 }] }]);
  });

  it('can be aborted, and others added, while there is none', async () => {
    const { supervised, engines, latest } = await open({ delays: [20] });
    const transcripts = submit(supervised, request('a', { n: 2 }), request('b'));
    latest().step();
    latest().die(FAILURE);
    await Promise.resolve();
    supervised.abort('a', 1);
    supervised.abort('b');
    expect(transcripts.get('a/1')?.reason).toBe('abort');
    expect(transcripts.get('b/0')?.reason).toBe('abort');
    expect(() => submit(supervised, request('a'))).toThrow('already running');
    const later = submit(supervised, request('c'));
    await vi.waitUntil(() => engines.length === 2);
    await vi.waitUntil(() => latest().requests.length === 2);
    expect(latest().requests.map(({ id, resume }) => [id, resume?.length])).toEqual([
      ['a', 1],
      ['c', undefined],
    ]);
    for (let i = 0; i < 6; i++) latest().step();
    expect(later.get('c/0')?.reason).toBe('length');
    expect(transcripts.get('a/0')?.tokens).toHaveLength(6);
  });
});

describe('an engine that cannot be kept alive', () => {
  it('is given up after some starts without anybody getting on', async () => {
    const { supervised, latest, failStarts } = await open({ delays: [0, 1, 1] });
    const transcripts = submit(supervised, request('a'));
    failStarts(9);
    latest().die(FAILURE);
    await vi.waitUntil(() => supervised.status().state === 'given-up');
    expect(supervised.status()).toMatchObject({ reason: expect.stringMatching(/died 4 times.*It does not start/) });
    expect(supervised.stats()).toMatchObject({ runningSequences: 0, waitingRequests: 0, blocksUsed: 0 });
    expect(transcripts.get('a/0')?.reason).toBe('error');
    expect(() => submit(supervised, request('b'))).toThrow(EngineUnavailableError);
    await supervised.close();
    expect(supervised.status()).toEqual({ state: 'closed' });
  });

  it('is tried again later, and takes requests once it is there', async () => {
    const { supervised, engines, latest, failStarts } = await open({ delays: [0], retryMs: 100 });
    failStarts(2);
    latest().die(FAILURE);
    await vi.waitUntil(() => supervised.status().state === 'given-up');
    await vi.waitUntil(() => supervised.status().state === 'running');
    expect(engines).toHaveLength(2);
    const transcripts = submit(supervised, request('a'));
    for (let i = 0; i < 6; i++) latest().step();
    expect(transcripts.get('a/0')?.reason).toBe('length');
  });

  it('is given up at once when it dies again before anybody got on, and has its patience back when somebody did', async () => {
    const { supervised, engines, latest, failStarts } = await open({ delays: [0], retryMs: 150 });
    const givenUp = () => vi.waitUntil(() => supervised.status().state === 'given-up');
    const running = () => vi.waitUntil(() => supervised.status().state === 'running');
    failStarts(1);
    latest().die(FAILURE);
    await givenUp();
    await running();
    latest().die(FAILURE);
    await givenUp();
    await running();
    const transcripts = submit(supervised, request('a'));
    latest().step();
    latest().die(FAILURE);
    await vi.waitUntil(() => engines.length === 4);
    await running();
    for (let i = 0; i < 5; i++) latest().step();
    expect(transcripts.get('a/0')?.reason).toBe('length');
  });

  it('says what it died of while the next one is started, and how many wait', async () => {
    const { supervised, latest } = await open({ delays: [60_000] });
    submit(supervised, request('a'));
    latest().step();
    latest().die(FAILURE);
    await Promise.resolve();
    submit(supervised, request('b'));
    expect(supervised.status()).toEqual({ state: 'restarting', ...FAILURE });
    expect(supervised.stats()).toMatchObject({ runningSequences: 0, waitingRequests: 2, blocksUsed: 0 });
    await supervised.close();
  });

  it('may die any number of times as long as somebody gets on', async () => {
    const { supervised, latest, die } = await open({ delays: [0, 0] });
    const transcripts = submit(supervised, request('a', { sampling: { maxTokens: 20 } }));
    for (let i = 0; i < 20; i++) {
      latest().step();
      if (i < 19) await die();
    }
    expect(transcripts.get('a/0')).toMatchObject({ reason: 'length' });
    expect(transcripts.get('a/0')?.tokens).toHaveLength(20);
  });

  it('can be closed meanwhile', async () => {
    const { supervised, latest } = await open({ delays: [60_000] });
    const transcripts = submit(supervised, request('a'));
    latest().die(FAILURE);
    await Promise.resolve();
    await supervised.close();
    expect(await supervised.closed).toBeUndefined();
    expect(transcripts.get('a/0')?.reason).toBe('abort');
  });
});

describe('a request that engines die of', () => {
  it('is tried alone, and ended, and nobody else', async () => {
    const { supervised, engines, latest } = await open({ info: { maxNumSeqs: 8 } });
    const transcripts = submit(supervised, request('a'), request('poison'), request('b'));
    const later = createRecorder();
    let added = false;
    for (let i = 0; i < 60 && transcripts.size + later.transcripts.size < 4; i++) await turn();
    for (let i = 0; i < 60; i++) await turn();

    /** An engine that has the poison in its batch dies in the next step, before anybody gets a token. */
    async function turn(): Promise<void> {
      const engine = latest();
      const count = engines.length;
      const live = engine.requests.filter(({ id }) => !isOver(id)).map(({ id }) => id);
      if (live.includes('poison')) {
        engine.admit();
        engine.die(FAILURE);
        await vi.waitUntil(() => engines.length > count || isOver('poison'));
        if (!added) supervised.submit(request('late'), (events) => later.record(events));
        added = true;
      } else engine.step();
      await new Promise((resolve) => setImmediate(resolve));
    }

    function isOver(id: string): boolean {
      return (transcripts.get(`${id}/0`) ?? later.transcripts.get(`${id}/0`))?.reason !== undefined;
    }

    expect(transcripts.get('poison/0')?.reason).toBe('error');
    const good = await undisturbed(request('a'), request('b'));
    for (const key of ['a/0', 'b/0']) expect(transcripts.get(key)).toEqual(good.get(key));
    expect(later.transcripts.get('late/0')?.reason).toBe('length');
    // Twice in a crowd, twice alone.
    const withPoison = engines.filter(({ requests }) => requests.some(({ id }) => id === 'poison'));
    expect(withPoison).toHaveLength(4);
    expect(withPoison.slice(2).every(({ requests }) => requests[0]?.id !== 'late')).toBe(true);
  });
});
