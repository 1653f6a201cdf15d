import OpenAI from 'openai';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { formatDuration } from '../../src/api/limits/durations.js';
import { chat, chunksOf, post, quietApp } from '../support/api.js';
import { delta, fakeServing, finish, replies, type Script } from '../support/fake-serving.js';

const PATH = '/v1/chat/completions';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout'] });
});

afterEach(() => {
  vi.useRealTimers();
});

function server(limits: object, script?: Script) {
  const app = quietApp(fakeServing(script), { apiKeys: ['one', 'two'], ...limits });
  return (body: object = chat(), key = 'one', path = PATH) =>
    app.request(path, post(body, { Authorization: `Bearer ${key}` }));
}

async function errorOf(response: Response) {
  const { error } = (await response.json()) as { error: { message: string; param: string | null; code: string } };
  return error;
}

function limitHeaders(response: Response) {
  return Object.fromEntries([...response.headers].filter(([name]) => name.startsWith('x-ratelimit')));
}

describe('requests a minute', () => {
  test('are counted for each key, said in OpenAI’s headers, and refused above the limit', async () => {
    const ask = server({ rateLimitRequests: 2 });
    expect(limitHeaders(await ask())).toEqual({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-reset-requests': '1m0s',
    });
    vi.advanceTimersByTime(15_000);
    expect(limitHeaders(await ask())).toMatchObject({
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '45s',
    });
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(refused.headers.get('Retry-After')).toBe('45');
    expect(limitHeaders(refused)).toMatchObject({ 'x-ratelimit-remaining-requests': '0' });
    expect(await refused.json()).toEqual({
      error: {
        message: 'Rate limit reached for requests per min: Limit 2, Used 2, Requested 1. Please try again in 45s.',
        type: 'requests',
        param: null,
        code: 'rate_limit_exceeded',
      },
    });
    expect((await ask(chat(), 'two')).status).toBe(200);
    vi.advanceTimersByTime(45_000);
    expect((await ask()).status).toBe(200);
  });

  test('are those of all clients together where no keys are asked for', async () => {
    const app = quietApp(fakeServing(), { rateLimitRequests: 1 });
    const statuses = [];
    for (let i = 0; i < 2; i++) statuses.push((await app.request(PATH, post(chat()))).status);
    expect(statuses).toEqual([200, 429]);
  });

  test('are not spent by what asks the model nothing', async () => {
    const app = quietApp(fakeServing(), { rateLimitRequests: 1 });
    for (let i = 0; i < 3; i++) expect((await app.request('/v1/models')).status).toBe(200);
    expect((await app.request(PATH, post(chat()))).status).toBe(200);
  });
});

describe('tokens a minute', () => {
  test('are charged with all that may be answered, and what was not is given back', async () => {
    const ask = server({ rateLimitTokens: 100 }, replies('a', 'b'));
    const headers = limitHeaders(await ask(chat({ max_tokens: 50 })));
    // The fake's prompts have 10 tokens; when the headers are written nothing is answered yet.
    expect(headers).toMatchObject({ 'x-ratelimit-limit-tokens': '100', 'x-ratelimit-remaining-tokens': '40' });
    expect(limitHeaders(await ask(chat({ max_tokens: 50 })))['x-ratelimit-remaining-tokens']).toBe('28');
    expect(limitHeaders(await ask(chat({ max_tokens: 60 })))['x-ratelimit-remaining-tokens']).toBe('6');
    expect((await ask(chat({ max_tokens: 60 }))).status).toBe(429);
  });

  test('that are refused count nothing', async () => {
    const ask = server({ rateLimitTokens: 100 }, replies('a', 'b'));
    await ask(chat({ max_tokens: 2 }));
    for (let i = 0; i < 5; i++) expect((await ask(chat({ max_tokens: 85 }))).status).toBe(429);
    expect((await ask(chat({ max_tokens: 78 }))).status).toBe(200);
  });

  test('without max_tokens are charged as they are answered', async () => {
    const ask = server({ rateLimitTokens: 30 }, replies(...'abcdefghijklmnopqrstuvwxyz'));
    expect((await ask()).status).toBe(200);
    const refused = await ask();
    expect(refused.status).toBe(429);
    expect(await errorOf(refused)).toMatchObject({ type: 'tokens', code: 'rate_limit_exceeded' });
  });

  test('that no minute has are refused without a time to try again', async () => {
    const refused = await server({ rateLimitTokens: 30 })(chat({ max_tokens: 21 }));
    expect(refused.status).toBe(429);
    expect([refused.headers.get('Retry-After'), refused.headers.get('X-Should-Retry')]).toEqual([null, 'false']);
    expect((await errorOf(refused)).message).toBe(
      'Request too large for tokens per min: Limit 30, Requested 31. The prompt or max_tokens must be reduced.',
    );
  });

  test('of embeddings count as well', async () => {
    const ask = server({ rateLimitTokens: 12 });
    const first = await ask({ input: 'ab' }, 'one', '/v1/embeddings');
    expect(first.status).toBe(200);
    const remaining = Number(first.headers.get('x-ratelimit-remaining-tokens'));
    expect(remaining).toBeLessThan(12);
    expect((await ask({ input: 'x'.repeat(remaining + 1) }, 'one', '/v1/embeddings')).status).toBe(429);
  });
});

describe('requests at the same time', () => {
  test('are let in until there are as many as allowed, streams until their end', async () => {
    let go = (): void => {};
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    const ask = server({ maxConcurrentRequestsPerKey: 1 }, async function* () {
      yield delta(0, 'first');
      await gate;
      yield finish(0, 'stop');
    });
    const stream = await ask(chat({ stream: true }));
    const refused = await ask();
    expect([refused.status, refused.headers.get('Retry-After')]).toEqual([429, '1']);
    expect(await errorOf(refused)).toMatchObject({ type: 'requests', code: 'rate_limit_exceeded' });
    const other = ask(chat({ stream: true }), 'two');
    go();
    expect((await other).status).toBe(200);
    chunksOf(await stream.text());
    expect((await ask()).status).toBe(200);
  });

  test('are given up by clients that leave, and by requests that fail', async () => {
    const ask = server({ maxConcurrentRequestsPerKey: 1 }, async function* () {
      yield delta(0, 'first');
      await new Promise(() => {});
    });
    for (let i = 0; i < 3; i++) {
      const stream = await ask(chat({ stream: true }));
      expect(stream.status).toBe(200);
      await stream.body!.cancel();
      expect((await ask(chat({ model: 'nobody' }))).status).toBe(404);
    }
  });
});

describe('every protocol has its own shape for a limit', () => {
  test.each([
    ['/v1/messages', { max_tokens: 5, ...chat() }, { type: 'error', error: { type: 'rate_limit_error' } }],
    ['/api/chat', { model: 'fake-model', ...chat() }, { error: expect.stringContaining('Rate limit reached') }],
    ['/generate', { inputs: 'x' }, { error_type: 'overloaded' }],
    ['/completion', { prompt: 'x' }, { error: { code: 429, type: 'unavailable_error' } }],
    ['/v1/responses', { input: 'x' }, { error: { type: 'requests', code: 'rate_limit_exceeded' } }],
    ['/invocations', chat(), { error: { type: 'requests', code: 'rate_limit_exceeded' } }],
  ])('%s', async (path, body, shape) => {
    const ask = server({ rateLimitRequests: 1 });
    await ask();
    const refused = await ask(body, 'one', path);
    expect(refused.status).toBe(429);
    expect(refused.headers.get('Retry-After')).toBe('60');
    expect(await refused.json()).toMatchObject(shape);
    // Whose request it is, is known on all paths.
    expect((await ask(body, 'two', path)).status).toBe(200);
  });
});

test('OpenAI’s client makes a RateLimitError of it', async () => {
  const app = quietApp(fakeServing(), { rateLimitRequests: 1 });
  const fetch = async (url: string | URL | Request, init?: RequestInit) => app.request(String(url), init);
  const client = new OpenAI({ apiKey: 'x', baseURL: 'http://x/v1', maxRetries: 0, fetch });
  const ask = () => client.chat.completions.create({ model: 'default', messages: [{ role: 'user', content: 'Hi' }] });
  await ask();
  await expect(ask()).rejects.toThrow(OpenAI.RateLimitError);
});

test('durations are written as OpenAI does', () => {
  expect([0, 20.2, 999, 1000, 1001, 59_999, 60_000, 360_000, 3_661_000].map(formatDuration)).toEqual([
    '0ms',
    '21ms',
    '999ms',
    '1s',
    '2s',
    '1m0s',
    '1m0s',
    '6m0s',
    '1h1m1s',
  ]);
});
