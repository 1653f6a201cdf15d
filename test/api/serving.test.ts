import { describe, expect, it } from 'vitest';
import {
  ContextLengthError,
  createServing,
  EngineStartError,
  EngineUnavailableError,
  type Generation,
  type GenerationRequest,
  ModelNotFoundError,
  ServingOptionsError,
} from '../../src/serving/index.js';
import { createFakeEngine, type FakeEngineOptions, fakeServingParts } from '../support/fake-engine.js';

const request: GenerationRequest = {
  id: 'r',
  prompt: { kind: 'chat', messages: [{ role: 'user', content: 'Hi' }] },
  sampling: { maxTokens: 3 },
};

async function ready(options: Parameters<typeof createServing>[0] = {}, engineOptions: FakeEngineOptions = {}) {
  const engine = createFakeEngine(engineOptions);
  const serving = createServing(options, fakeServingParts(engine));
  await serving.whenReady();
  return { engine, serving };
}

async function textOf(generation: Generation): Promise<string> {
  let text = '';
  for await (const event of generation.events) if (event.type === 'delta') text += event.text;
  return text;
}

describe('serving', () => {
  it('answers a chat with text', async () => {
    const { engine, serving } = await ready();
    const generation = await serving.generate(request);
    expect(await textOf(generation)).toBe('abc');
    const prompt = Buffer.from('user\nHi').toString();
    expect(Buffer.from(engine.requests[0]!.promptTokenIds).toString()).toContain(prompt);
    expect(generation.promptTokenIds).toEqual(engine.requests[0]!.promptTokenIds);
    await serving.close();
  });

  it('tokenises what it would generate from', async () => {
    const { engine, serving } = await ready();
    const { model, tokenIds } = serving.tokenize(undefined, request.prompt);
    const generation = await serving.generate(request);
    await textOf(generation);
    expect(tokenIds).toEqual(engine.requests[0]!.promptTokenIds);
    expect(model).toBe(generation.model);
    await serving.close();
    expect(() => serving.tokenize(undefined, request.prompt)).toThrow(EngineUnavailableError);
  });

  it('answers many requests at the same time', async () => {
    const { serving } = await ready({}, { info: { maxNumSeqs: 8 } });
    const texts = await Promise.all(
      Array.from({ length: 50 }, async (_, index) => {
        const sampling = { maxTokens: 1 + (index % 5) };
        return textOf(await serving.generate({ ...request, id: `r${index}`, sampling }));
      }),
    );
    expect(texts).toEqual(Array.from({ length: 50 }, (_, index) => 'abcde'.slice(0, 1 + (index % 5))));
    expect(serving.stats()).toMatchObject({ runningSequences: 0, waitingRequests: 0 });
    await serving.close();
  });

  it('hands priority, cache salt and sampling to the engine', async () => {
    const { engine, serving } = await ready();
    await serving.generate({ ...request, priority: -3, cacheSalt: 'tenant', n: 2, sampling: { seed: 5, topK: 7 } });
    expect(engine.requests[0]).toMatchObject({
      id: 'r',
      n: 2,
      priority: -3,
      cacheSalt: 'tenant',
      sampling: { seed: 5, topK: 7, temperature: 1 },
    });
    await serving.close();
  });

  it('refuses what the client can mend before the engine sees it', async () => {
    const { engine, serving } = await ready();
    const tooLong = { ...request, sampling: { maxTokens: 5000 } };
    await expect(serving.generate(tooLong)).rejects.toThrow(ContextLengthError);
    await expect(serving.generate({ ...request, model: 'gpt-5' })).rejects.toThrow(ModelNotFoundError);
    expect(engine.requests).toHaveLength(0);
    await serving.close();
  });

  it('refuses bad options at once', () => {
    expect(() => createServing({ maxNumSeqs: 0 })).toThrow(ServingOptionsError);
  });
});

describe('the model of a serving', () => {
  it('is called what its file is called, unless it is given names', async () => {
    const { serving } = await ready();
    expect(serving.models().map(({ id }) => id)).toEqual(['fake']);
    await serving.close();
    const named = (await ready({ servedModelName: ['chat', 'gpt-4o'] })).serving;
    expect(named.models().map(({ id }) => id)).toEqual(['chat', 'gpt-4o']);
    expect(named.resolveModel('gpt-4o').id).toBe('chat');
    expect((await named.generate({ ...request, model: 'gpt-4o' })).model.id).toBe('chat');
    expect(() => named.resolveModel('fake')).toThrow(ModelNotFoundError);
    await named.close();
  });

  it('is found by no name and by `default`', async () => {
    const { serving, engine } = await ready();
    for (const name of [undefined, 'default']) {
      expect(serving.resolveModel(name)).toMatchObject({ id: 'fake', maxModelLen: 4096, info: engine.info });
    }
    await serving.close();
  });
});

describe('tokens of a serving', () => {
  it('are those that it generates from, and turn back into text', async () => {
    const { serving } = await ready();
    const generation = await serving.generate(request);
    const { model, tokenIds, rendered, pieces } = serving.tokenize(undefined, request.prompt);
    expect(model).toBe(generation.model);
    expect(tokenIds).toEqual(generation.promptTokenIds);
    expect(rendered).toContain('user\nHi');
    expect(
      pieces()
        .map(({ text }) => text)
        .join(''),
    ).toBe(rendered);
    expect(serving.detokenize('fake', [...tokenIds]).text).toBe(rendered);
    generation.abort();
    await serving.close();
  });

  it('are refused when they are not in the vocabulary, or of no model served', async () => {
    const { serving } = await ready();
    expect(() => serving.detokenize(undefined, [260])).toThrow(
      'tokens: token id 260 is not in the vocabulary (0 to 259).',
    );
    expect(() => serving.tokenize('gpt-4', { kind: 'text', text: 'a' })).toThrow(ModelNotFoundError);
    await serving.close();
    expect(() => serving.tokenize(undefined, { kind: 'text', text: 'a' })).toThrow(EngineUnavailableError);
  });
});

describe('a serving that loads', () => {
  it('tells how far it is, and is ready when the engine is', async () => {
    const engine = createFakeEngine();
    const parts = fakeServingParts(engine);
    const notes: string[] = [];
    const phases: unknown[] = [];
    let finish = () => {};
    let ask = () => {};
    const engineAsked = new Promise<void>((resolve) => {
      ask = resolve;
    });
    const serving = createServing(
      { maxModelLen: 128, kvCacheMemory: '1MiB' },
      {
        ...parts,
        async resolveModel(reference, options) {
          await new Promise(setImmediate);
          options?.onProgress?.({ phase: 'download', name: 'fake', done: 25, total: 100 });
          phases.push(serving.state());
          return { path: '/models/x.gguf', name: 'x', source: reference, notes: ['was re-encoded'] };
        },
        startEngine(config, { onProgress }) {
          expect(config).toMatchObject({ modelPath: '/models/x.gguf', maxModelLen: 128, kvCacheBytes: 2 ** 20 });
          onProgress?.('weights', 0.5);
          phases.push(serving.state());
          ask();
          return new Promise((resolve) => {
            finish = () => resolve(engine);
          });
        },
        onLog: (_, message) => notes.push(message),
      },
    );
    expect(serving.state()).toEqual({ state: 'loading', phase: 'starting', fraction: 0 });
    await expect(serving.generate(request)).rejects.toThrow(EngineUnavailableError);
    await expect(serving.generate(request)).rejects.toThrow('still loading');
    expect(serving.models()).toEqual([]);
    expect(serving.stats()).toBeUndefined();
    await engineAsked;
    finish();
    await serving.whenReady();
    expect(phases).toEqual([
      { state: 'loading', phase: 'download', fraction: 0.25 },
      { state: 'loading', phase: 'weights', fraction: 0.5 },
    ]);
    expect(notes).toEqual(['was re-encoded']);
    expect(serving.state()).toEqual({ state: 'ready' });
    await serving.close();
  });

  it('and fails tells why, and what to do', async () => {
    const serving = createServing(
      {},
      {
        ...fakeServingParts(createFakeEngine()),
        async startEngine() {
          throw new EngineStartError('The model does not fit.', 'Take a smaller one.');
        },
      },
    );
    await expect(serving.whenReady()).rejects.toThrow('does not fit');
    expect(serving.state()).toEqual({
      state: 'failed',
      message: 'The model does not fit.',
      hint: 'Take a smaller one.',
    });
    await expect(serving.generate(request)).rejects.toThrow(EngineUnavailableError);
    await serving.close();
  });

  it('can be closed meanwhile: loading is given up, and an engine that came up nevertheless is closed', async () => {
    const engine = createFakeEngine();
    let givenUp = false;
    const serving = createServing(
      {},
      {
        ...fakeServingParts(engine),
        startEngine: (_, { signal }) =>
          new Promise((resolve) => {
            signal?.addEventListener('abort', () => {
              givenUp = true;
              resolve(engine);
            });
          }),
      },
    );
    const waiting = expect(serving.whenReady()).rejects.toThrow(EngineUnavailableError);
    // The engine is asked for once the model is resolved, a turn of the event loop from now.
    await new Promise(setImmediate);
    await serving.close();
    await waiting;
    expect(givenUp).toBe(true);
    expect(await engine.closed).toBeUndefined();
    expect(serving.state()).toEqual({ state: 'closed' });
  });
});

describe('a serving that ends', () => {
  it('aborts what is running and takes no more', async () => {
    const { serving } = await ready({}, { pace: 'manual' });
    const generation = await serving.generate(request);
    await serving.close();
    const events = [];
    for await (const event of generation.events) events.push(event);
    expect(events).toEqual([{ type: 'finish', choice: 0, reason: 'abort', stopReason: null }]);
    await expect(serving.generate(request)).rejects.toThrow('shutting down');
    await serving.close();
    expect(serving.state()).toEqual({ state: 'closed' });
  });

  it('because its engine died says so', async () => {
    const { engine, serving } = await ready({}, { pace: 'manual' });
    const generation = await serving.generate(request);
    engine.die({ reason: 'The engine process ended with signal SIGKILL.', hint: 'Give it more memory.' });
    expect(await textOf(generation)).toBe('');
    await engine.closed;
    expect(serving.state()).toEqual({
      state: 'failed',
      retryAt: expect.any(Number),
      message: 'The engine process ended with signal SIGKILL.',
      hint: 'Give it more memory.',
    });
    await expect(serving.generate(request)).rejects.toMatchObject({
      message: expect.stringContaining('SIGKILL'),
      retryAfter: expect.any(Number),
    });
    // What needs no engine is served without one.
    expect(serving.detokenize(undefined, [97]).text).toBe('a');
    await serving.close();
  });
});
