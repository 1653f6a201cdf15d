import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createServing, LLM, type ServingOptionsInput } from '../../src/serving/index.js';
import { chat, eventData, post, quietApp } from '../support/api.js';
import { createFakeEngine, fakeServingParts } from '../support/fake-engine.js';

const CHAT = '/v1/chat/completions';

const closers: Array<() => Promise<void>> = [];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
});

afterEach(async () => {
  vi.useRealTimers();
  for (const close of closers.splice(0)) await close();
});

async function errorOf(response: Response) {
  const { error } = (await response.json()) as { error: { message: string; param: string | null; code: string } };
  return error;
}

/** Waits in real time. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** A server with two slots whose engine steps when it is told to. */
async function server(options: ServingOptionsInput, keys: string[] = []) {
  const engine = createFakeEngine({ pace: 'manual', info: { maxNumSeqs: 2 } });
  const serving = createServing(options, fakeServingParts(engine));
  await serving.whenReady();
  closers.push(() => serving.close());
  const app = quietApp(serving, { apiKeys: keys });
  const ask = (body: object = {}, headers: Record<string, string> = {}, path = CHAT) =>
    app.request(path, post(chat({ max_tokens: 3, ...body }), headers));
  /** Sends a request and returns when the engine has it. */
  const send = async (body: object = {}, headers: Record<string, string> = {}) => {
    const before = engine.requests.length;
    const answer = ask(body, headers);
    await until(() => engine.requests.length > before);
    return { answer: Promise.resolve(answer) };
  };
  const bearer = (key: string) => ({ Authorization: `Bearer ${key}` });
  return { engine, serving, app, ask, send, bearer };
}

describe('when too many wait', () => {
  test('the next one is refused in OpenAI’s words, and told when to come again', async () => {
    const { engine, ask, send } = await server({ maxQueuedRequests: 2 });
    const waiting = [await send(), await send()];
    const refused = await ask();
    expect(refused.status).toBe(503);
    expect(refused.headers.get('Retry-After')).toBe('5');
    expect(await refused.json()).toEqual({
      error: {
        message: 'The engine is currently overloaded: 2 requests wait already. Please try again in 5 s.',
        type: 'server_error',
        param: null,
        code: 'overloaded',
      },
    });
    expect(engine.requests.length).toBe(2);
    engine.step();
    const third = await send();
    for (let i = 0; i < 6; i++) engine.step();
    for (const { answer } of [...waiting, third]) expect((await answer).status).toBe(200);
  });

  test('the time to come again is that of half the queue, at the rate of late', async () => {
    const { engine, ask, send } = await server({ maxQueuedRequests: 20 });
    for (let i = 0; i < 10; i++) {
      await send({ max_tokens: 1 });
      vi.advanceTimersByTime(1000);
      engine.step();
    }
    for (let i = 0; i < 20; i++) await send();
    expect((await ask()).headers.get('Retry-After')).toBe('10');
  });

  test('every protocol has its own shape for it', async () => {
    const { app, send } = await server({ maxQueuedRequests: 1 });
    await send();
    const shapes: Array<[string, object, object]> = [
      ['/v1/completions', { prompt: 'x' }, { error: { type: 'server_error', code: 'overloaded' } }],
      ['/v1/messages', { max_tokens: 5, ...chat() }, { type: 'error', error: { type: 'overloaded_error' } }],
      ['/api/chat', { model: 'fake', ...chat() }, { error: expect.stringContaining('overloaded') }],
      ['/generate', { inputs: 'x' }, { error_type: 'overloaded' }],
      ['/completion', { prompt: 'x' }, { error: { code: 503, type: 'unavailable_error' } }],
      ['/v1/responses', { input: 'x' }, { error: { type: 'server_error', code: 'overloaded' } }],
      ['/v1/embeddings', { input: 'x' }, { error: { type: 'server_error', code: 'overloaded' } }],
    ];
    for (const [path, body, shape] of shapes) {
      const refused = await app.request(path, post(body));
      expect([path, refused.status, refused.headers.get('Retry-After')]).toEqual([path, 503, '5']);
      expect(await refused.json()).toMatchObject(shape);
    }
  });

  test('a key with few requests takes the place of one with many', async () => {
    const { engine, ask, send, bearer } = await server({ maxQueuedRequests: 3 }, ['flood', 'quiet']);
    const flood = [];
    for (let i = 0; i < 3; i++) flood.push(await send({}, bearer('flood')));
    const quiet = await send({}, bearer('quiet'));
    expect((await flood[2]!.answer).status).toBe(503);
    expect((await ask({}, bearer('flood'))).status).toBe(503);
    expect(new Set(engine.requests.map(({ tenant }) => tenant)).size).toBe(2);
    for (let i = 0; i < 6; i++) engine.step();
    for (const { answer } of [flood[0]!, flood[1]!, quiet]) expect((await answer).status).toBe(200);
  });

  test('flex work gives way, with the 429 of that tier', async () => {
    const { engine, ask, send } = await server({ maxQueuedRequests: 2 });
    const flex = await send({ service_tier: 'flex', stream: true });
    expect((await ask({ service_tier: 'flex' })).status).toBe(429);
    const usual = [await send(), await send({ service_tier: 'priority' })];
    const refused = await flex.answer;
    expect(refused.status).toBe(429);
    expect(refused.headers.get('Retry-After')).toBe('5');
    expect(await errorOf(refused)).toMatchObject({ type: 'server_error', code: 'resource_unavailable' });
    expect(engine.requests.map(({ priority }) => priority)).toEqual([100, 0, -100]);
    for (let i = 0; i < 4; i++) engine.step();
    const tiers = usual.map(
      async ({ answer }) => ((await (await answer).json()) as { service_tier?: string }).service_tier,
    );
    expect(await Promise.all(tiers)).toEqual([undefined, 'priority']);
    expect(engine.stats()).toMatchObject({ runningSequences: 0, waitingRequests: 0 });
  });

  test('a list of prompts is one request', async () => {
    const { engine, app } = await server({ maxQueuedRequests: 1 });
    const answer = app.request('/v1/completions', post({ prompt: ['a', 'b', 'c'], max_tokens: 2 }));
    await until(() => engine.requests.length === 3);
    for (let i = 0; i < 4; i++) engine.step();
    expect(await (await answer).json()).toMatchObject({ choices: { length: 3 } });
  });
});

describe('a request that waits too long', () => {
  test('is refused like one that finds no place', async () => {
    const { engine, send } = await server({ maxQueueTime: 3 });
    await send();
    await send();
    engine.step();
    const { answer } = await send({ stream: true });
    vi.advanceTimersByTime(3000);
    const refused = await answer;
    expect(refused.status).toBe(503);
    expect(await errorOf(refused)).toMatchObject({
      message: expect.stringContaining('has waited for 3 s'),
      code: 'overloaded',
    });
    expect(engine.stats()).toMatchObject({ runningSequences: 2, waitingRequests: 0 });
  });
});

describe('an answer that takes too long', () => {
  test.each<[string, ServingOptionsInput, Record<string, string>]>([
    ['as the server has it', { requestTimeout: 2 }, {}],
    ['as the client has it', {}, { 'X-Request-Timeout': '2' }],
    ['the shorter of the two', { requestTimeout: 60 }, { 'X-Request-Timeout': '2' }],
    ['the shorter of the two, again', { requestTimeout: 2 }, { 'X-Request-Timeout': '60' }],
  ])('is ended, %s', async (_, options, headers) => {
    const { engine, send } = await server(options);
    const whole = await send({}, headers);
    vi.advanceTimersByTime(1999);
    engine.step();
    vi.advanceTimersByTime(1);
    const response = await whole.answer;
    expect([response.status, response.headers.get('X-Should-Retry')]).toEqual([504, 'false']);
    expect(await errorOf(response)).toEqual({
      message: expect.stringContaining('was not complete after 2 s'),
      type: 'server_error',
      param: null,
      code: 'request_timeout',
    });
    expect(engine.stats().runningSequences).toBe(0);
  });

  test('ends a stream that has begun with an error, after the text that came', async () => {
    const { engine, send } = await server({ requestTimeout: 2 });
    const { answer } = await send({ stream: true });
    engine.step();
    const response = await answer;
    vi.advanceTimersByTime(2000);
    const events = eventData(await response.text());
    expect(response.status).toBe(200);
    expect(JSON.parse(events.at(-1)!).error.code).toBe('request_timeout');
    expect(events.join('')).toContain('"content":"a"');
  });

  test('is none when it is complete in time', async () => {
    const { engine, send } = await server({ requestTimeout: 2, maxQueueTime: 1 });
    const { answer } = await send();
    for (let i = 0; i < 3; i++) engine.step();
    expect((await answer).status).toBe(200);
    vi.advanceTimersByTime(10_000);
  });

  test.each(['0', '-1', 'soon', '', '1e9'])('cannot be asked for as "%s"', async (value) => {
    const { ask } = await server({});
    const refused = await ask({}, { 'X-Request-Timeout': value });
    expect(refused.status).toBe(400);
    expect((await errorOf(refused)).param).toBe('X-Request-Timeout');
  });
});

describe('embeddings', () => {
  test('wait and time out like answers', async () => {
    const { engine, app } = await server({ requestTimeout: 2 });
    const answer = app.request('/v1/embeddings', post({ input: ['a', 'b'] }));
    await until(() => engine.embedRequests.length === 2);
    vi.advanceTimersByTime(2000);
    expect((await answer).status).toBe(504);
  });
});

test('the library takes all prompts of a call, whatever may wait in a server', async () => {
  const engine = createFakeEngine({ pace: 'manual' });
  await using llm = new LLM(undefined, {}, fakeServingParts(engine));
  const answers = llm.generate(
    Array.from({ length: 1500 }, () => 'x'),
    { maxTokens: 1 },
  );
  await until(() => engine.requests.length === 1500);
  for (let i = 0; i < 6; i++) engine.step();
  expect(await answers).toHaveLength(1500);
});
