import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, describe, expect, test } from 'vitest';
import { createKeyRing, digestOf, type KeyRing, type Scope } from '../../src/api/access/index.js';
import { createAdminApp } from '../../src/api/admin/admin.js';
import { createApp } from '../../src/api/index.js';
import { createLogger } from '../../src/telemetry/index.js';
import { chat, post, quietApp } from '../support/api.js';
import { type FakeServing, fakeServing } from '../support/fake-serving.js';

const folder = mkdtempSync(join(tmpdir(), 'quire-access-'));
const file = join(folder, 'keys.json');
const rings: KeyRing[] = [];

afterAll(() => {
  for (const ring of rings) ring.close();
  rmSync(folder, { recursive: true });
});

function writeKeys(scopes: Record<string, Scope[]>): void {
  const keys = Object.entries(scopes).map(([name, given]) => {
    return { name, scopes: given, hash: `sha256:${digestOf(`key of ${name}`).toString('hex')}` };
  });
  writeFileSync(file, JSON.stringify({ keys }));
}

function keyRing(scopes: Record<string, Scope[]>): KeyRing {
  writeKeys(scopes);
  const ring = createKeyRing({ file });
  rings.push(ring);
  return ring;
}

const as = (name: string) => ({ Authorization: `Bearer key of ${name}` });

describe('scopes', () => {
  const ring = keyRing({ alice: ['inference'], prometheus: ['metrics'], boss: ['admin'] });
  const app = quietApp(fakeServing(), { keyRing: ring });

  test('open the API to those who may use it alone', async () => {
    expect((await app.request('/v1/chat/completions', post(chat(), as('alice')))).status).toBe(200);
    const refused = await app.request('/v1/chat/completions', post(chat(), as('prometheus')));
    expect(refused.status).toBe(403);
    expect(await refused.json()).toEqual({
      error: {
        message: 'This API key has no scope inference, which /v1/chat/completions needs. Use another key.',
        type: 'invalid_request_error',
        param: null,
        code: 'insufficient_permissions',
      },
    });
  });

  test("are told of in each protocol's own words", async () => {
    const anthropic = await app.request('/v1/messages', post({}, { 'X-Api-Key': 'key of boss' }));
    expect([anthropic.status, await anthropic.json()]).toMatchObject([403, { error: { type: 'permission_error' } }]);
    const tgi = await app.request('/generate', post({}, as('boss')));
    expect([tgi.status, await tgi.json()]).toMatchObject([403, { error_type: 'authentication' }]);
  });

  test('guard the metrics once a key for them exists', async () => {
    const statusOf = async (headers: Record<string, string>) => (await app.request('/metrics', { headers })).status;
    expect([await statusOf({}), await statusOf(as('alice')), await statusOf(as('prometheus'))]).toEqual([
      401, 403, 200,
    ]);
    const open = quietApp(fakeServing(), { apiKeys: ['k'] });
    expect((await open.request('/metrics')).status).toBe(200);
  });
});

describe('the admin port', () => {
  const parts = { serving: fakeServing(), logger: createLogger({ level: 'silent' }), connections: () => 5 };

  test('tells how the server is', async () => {
    const app = createAdminApp({ ...parts, keys: createKeyRing({}) });
    const response = await app.request('http://localhost:9/admin/status');
    expect(await response.json()).toEqual({
      state: { state: 'ready' },
      models: [
        {
          id: 'fake-model',
          created: 1_700_000_000,
          max_model_len: 4096,
          description: 'fake 1B Q8_0',
          kv_backend: 'pages',
        },
      ],
      uptime_seconds: expect.any(Number),
      engine_restarts: 0,
      requests: { running: 3, waiting: 2 },
      connections: 5,
    });
  });

  test('asks for scope admin as soon as there are keys', async () => {
    const app = createAdminApp({ ...parts, keys: keyRing({ alice: ['inference'], boss: ['admin'] }) });
    for (const [method, path] of [
      ['GET', '/admin/status'],
      ['GET', '/admin/keys'],
      ['POST', '/admin/keys/reload'],
    ] as const) {
      const statusOf = async (headers: Record<string, string>) => (await app.request(path, { method, headers })).status;
      expect([await statusOf({}), await statusOf(as('alice')), await statusOf(as('boss'))]).toEqual([401, 403, 200]);
    }
  });

  test('lists keys without their digests, and reads them again; a broken file changes nothing', async () => {
    const app = createAdminApp({ ...parts, keys: keyRing({ boss: ['admin'] }) });
    const ask = async (path: string, method = 'GET') => {
      const response = await app.request(path, { method, headers: as('boss') });
      return [response.status, await response.json()] as const;
    };
    const boss = { name: 'boss', scopes: ['admin'], source: 'file' };
    expect(await ask('/admin/keys')).toEqual([200, { keys: [boss] }]);
    writeFileSync(file, '{');
    expect(await ask('/admin/keys/reload', 'POST')).toMatchObject([409, { error: { code: 'invalid_key_file' } }]);
    expect(await ask('/admin/keys')).toEqual([200, { keys: [boss] }]);
    writeKeys({ boss: ['admin'], bob: ['inference'] });
    const bob = { name: 'bob', scopes: ['inference'], source: 'file' };
    expect(await ask('/admin/keys/reload', 'POST')).toEqual([200, { keys: [boss, bob] }]);
  });

  test('answers no web page, whatever name it has for this machine', async () => {
    const app = createAdminApp({ ...parts, keys: createKeyRing({}) });
    const refused: Record<string, string>[] = [
      { Host: 'page.example:8001' },
      { Host: '127.0.0.1.page.example' },
      { Origin: 'http://localhost' },
    ];
    for (const headers of refused) {
      expect((await app.request('http://127.0.0.1/admin/status', { headers })).status).toBe(403);
    }
    for (const Host of ['localhost', '127.0.0.1:8001', '[::1]:8001']) {
      expect((await app.request('http://127.0.0.1/admin/status', { headers: { Host } })).status).toBe(200);
    }
  });

  test('is not the public one', async () => {
    const app = quietApp(fakeServing(), { keyRing: keyRing({ boss: ['admin', 'inference'] }) });
    for (const path of ['/admin/status', '/admin/keys']) {
      expect((await app.request(path, { headers: as('boss') })).status).toBe(404);
    }
    expect((await app.request('/admin/keys/reload', { method: 'POST', headers: as('boss') })).status).toBe(404);
  });
});

describe('the prefix cache', () => {
  /** A request for each protocol that computes something. */
  const REQUESTS: [path: string, body: object][] = [
    ['/v1/chat/completions', chat()],
    ['/v1/chat/completions', chat({ stream: true })],
    ['/v1/completions', { prompt: ['x', 'y'] }],
    ['/v1/responses', { input: 'x' }],
    ['/v1/messages', { ...chat(), max_tokens: 5 }],
    ['/api/chat', chat({ model: 'fake-model' })],
    ['/api/generate', { model: 'fake-model', prompt: 'x' }],
    ['/completion', { prompt: 'x' }],
    ['/generate', { inputs: 'x' }],
    ['/generate_stream', { inputs: 'x' }],
    ['/invocations', { prompt: 'x' }],
    ['/v2/models/fake-model/generate', { text_input: 'x' }],
    ['/v1/embeddings', { input: 'x' }],
    ['/api/embed', { model: 'fake-model', input: 'x' }],
    ['/v1/rerank', { query: 'x', documents: ['y'] }],
  ];
  const keys = { apiKeys: ['key of alice', 'key of bob'] };
  const saltsOf = ({ requests, embeddings }: FakeServing) =>
    [...requests, ...embeddings].map(({ cacheSalt }) => cacheSalt);

  async function saltsFor(
    app: ReturnType<typeof quietApp>,
    serving: FakeServing,
    path: string,
    body: object,
    who: string,
  ) {
    const before = saltsOf(serving).length;
    const response = await app.request(path, post(body, as(who)));
    expect(response.status, `${path}: ${await response.text()}`).toBe(200);
    const salts = saltsOf(serving);
    expect(salts.length, path).toBeGreaterThan(before);
    // Embeddings come behind generations, but no path has both.
    return new Set(
      serving.embeddings.length > 0 ? serving.embeddings.slice(-1).map((one) => one.cacheSalt) : salts.slice(before),
    );
  }

  test.each(REQUESTS)('of %s %j is one for each key', async (path, body) => {
    const serving = fakeServing();
    const app = quietApp(serving, keys);
    const [alice, again, bob] = [
      await saltsFor(app, serving, path, body, 'alice'),
      await saltsFor(app, serving, path, body, 'alice'),
      await saltsFor(app, serving, path, body, 'bob'),
    ];
    expect(alice.size).toBe(1);
    expect(again).toEqual(alice);
    expect(bob.size).toBe(1);
    expect(bob).not.toEqual(alice);
    expect([...alice][0]).toMatch(/^[\w-]{43}$/);
  });

  test("is divided further by a request's own salt", async () => {
    const serving = fakeServing();
    const app = quietApp(serving, keys);
    const body = chat({ cache_salt: 'pepper' });
    await app.request('/v1/chat/completions', post(chat(), as('alice')));
    await app.request('/v1/chat/completions', post(body, as('alice')));
    await app.request('/v1/chat/completions', post(body, as('bob')));
    expect(new Set(saltsOf(serving)).size).toBe(3);
  });

  test('is one for all where keys are not told apart, and without keys', async () => {
    for (const options of [{ ...keys, sharePrefixesBetweenKeys: true }, {}]) {
      const serving = fakeServing();
      const app = quietApp(serving, options);
      for (const who of ['alice', 'bob']) await app.request('/v1/chat/completions', post(chat(), as(who)));
      await app.request('/v1/chat/completions', post(chat({ cache_salt: 'pepper' }), as('bob')));
      expect(saltsOf(serving)).toEqual([undefined, undefined, 'pepper']);
    }
  });
});

describe('bodies that are nested deep', () => {
  const app = quietApp(fakeServing());
  const nested = (levels: number, open = '[', close = ']') => open.repeat(levels) + close.repeat(levels);

  test.each([
    ['lists', nested(101)],
    ['a hundred thousand lists', nested(100_000)],
    ['objects', nested(101, '{"a":', '}').replace(':}', ':1}')],
    ['lists that do not end', '['.repeat(1_000_000)],
    ['lists behind a text', `{"a":"\\\\","b":${nested(100)}}`],
  ])('are refused: %s', async (_, body) => {
    for (const path of ['/v1/chat/completions', '/v1/messages', '/api/chat', '/invocations', '/tokenize']) {
      const response = await app.request(path, post(body));
      const text = await response.text();
      expect(response.status, path).toBe(400);
      expect(text).toContain('nested more than 100 levels deep');
    }
  });

  test('pass up to the limit, and brackets in texts do not count', async () => {
    const schema = JSON.parse(nested(90, '{"a":', '}').replace(':}', ':1}'));
    for (const body of [
      chat({ chat_template_kwargs: { schema } }),
      { messages: [{ role: 'user', content: `${'['.repeat(500)}"\\${'{'.repeat(500)}\\` }] },
    ]) {
      const response = await app.request('/v1/chat/completions', post(body));
      expect(response.status, await response.text()).toBe(200);
    }
  });

  test('inside of a text are no arguments', async () => {
    const call = { id: 'c', type: 'function', function: { name: 'f', arguments: `{"a":${nested(200_000)}}` } };
    const messages = [{ role: 'assistant', content: null, tool_calls: [call] }];
    const response = await app.request('/v1/chat/completions', post({ messages }));
    expect(response.status).toBeLessThan(500);
    const guided = await app.request(
      '/v1/chat/completions',
      post(chat({ guided_json: nested(200_000, '{"a":', '}') })),
    );
    expect(guided.status).toBe(400);
  });
});

describe('what a client sends', () => {
  test.each(['a b', 'a\tb', 'ä', '<script>', 'a'.repeat(129), "a'b", '{}'])('is no request id: %j', async (id) => {
    const response = await quietApp(fakeServing()).request('/health', { headers: { 'X-Request-Id': encode(id) } });
    expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  test.each(['a', 'Root:1', '0af7.65:1-b_c', 'a'.repeat(128)])('is a request id: %j', async (id) => {
    const response = await quietApp(fakeServing()).request('/health', { headers: { 'X-Request-Id': id } });
    expect(response.headers.get('x-request-id')).toBe(id);
  });

  test('and what it is answered appear in no log, at no level', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const serving = fakeServing();
    const app = createApp(serving, { logger, apiKeys: ['key of alice'] });
    const secret = 'the treasure is buried';
    const messages = [{ role: 'user', content: secret }];
    await app.request('/v1/chat/completions?q=treasure', post({ messages }, as('alice')));
    await app.request('/v1/chat/completions', post({ messages, temperature: secret }, as('alice')));
    await app.request('/v1/chat/completions', post(`{"messages": ${secret}`, as('alice')));
    await app.request('/v1/chat/completions', post({ messages }, { Authorization: `Bearer ${secret}` }));
    serving.generate = () => Promise.reject(new Error('broken'));
    await app.request('/v1/chat/completions', post({ messages }, as('alice')));
    expect(lines).toHaveLength(6);
    expect(lines.join('')).not.toMatch(/treasure|key of alice/);
  });
});

test('answers are never to be taken for another type, and the page of the API loads nothing', async () => {
  const app = quietApp(fakeServing());
  const stream = await app.request('/v1/chat/completions', post(chat({ stream: true })));
  for (const response of [stream, await app.request('/v1/nothing'), await app.request('/docs')]) {
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
  }
  expect((await app.request('/docs')).headers.get('content-security-policy')).toContain("default-src 'none'");
});

/** As a header's bytes. */
function encode(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
