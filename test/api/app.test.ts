import { Validator } from '@seriousme/openapi-schema-validator';
import { Hono } from 'hono';
import { describe, expect, test } from 'vitest';
import { chat, post, quietApp } from '../support/api.js';
import { delta, fakeServing, finish } from '../support/fake-serving.js';

describe('models', () => {
  const model = {
    id: 'fake-model',
    object: 'model',
    created: 1_700_000_000,
    owned_by: 'quire',
    max_model_len: 4096,
    batch_invariant: true,
    batch_invariant_reason: 'Q8_0 is invariant at every batch size',
  };

  test('are listed', async () => {
    const response = await quietApp(fakeServing()).request('/v1/models');
    expect(await response.json()).toEqual({ object: 'list', data: [model] });
  });

  test.each(['fake-model', 'default', 'org/fake', 'org%2Ffake'])('are found by the name %s', async (name) => {
    const response = await quietApp(fakeServing()).request(`/v1/models/${name}`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual(model);
  });

  test('with names that are no text are not found', async () => {
    expect((await quietApp(fakeServing()).request('/v1/models/%E0%A4%A')).status).toBe(404);
  });
});

describe('health', () => {
  test('says that the process lives, whatever the engine does', async () => {
    const serving = fakeServing();
    serving.setState({ state: 'failed', message: 'broken' });
    const response = await quietApp(serving).request('/health/live');
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }]);
  });

  test.each(['/health/ready', '/health'])('%s says whether requests can be answered, and why not', async (path) => {
    const serving = fakeServing();
    const app = quietApp(serving);
    const ask = async () => {
      const response = await app.request(path);
      return [response.status, await response.json()];
    };
    serving.setState({ state: 'loading', phase: 'weights', fraction: 0.5 });
    expect(await ask()).toEqual([503, { status: 'loading', phase: 'weights', progress: 0.5 }]);
    serving.setState({ state: 'ready' });
    expect(await ask()).toEqual([200, { status: 'ready' }]);
    serving.setState({ state: 'failed', message: 'out of memory', hint: 'a smaller model' });
    expect(await ask()).toEqual([503, { status: 'failed', message: 'out of memory', hint: 'a smaller model' }]);
    serving.setState({ state: 'failed', message: 'it dies', retryAt: Date.now() + 30_000 });
    expect(await ask()).toEqual([503, { status: 'failed', message: 'it dies', retry_in: 30 }]);
    serving.setState({ state: 'restarting', message: 'it died' });
    expect(await ask()).toEqual([503, { status: 'restarting', message: 'it died' }]);
    serving.setState({ state: 'closed' });
    expect(await ask()).toEqual([503, { status: 'closed' }]);
  });
});

describe('metrics', () => {
  async function metricsOf(app: ReturnType<typeof quietApp>) {
    const response = await app.request('/metrics');
    expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
    const lines = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    return new Map(lines.map((line) => line.split(/ (?=[^ ]+$)/) as [string, string]));
  }

  test('tell what the engine does', async () => {
    const metrics = await metricsOf(quietApp(fakeServing()));
    expect(Object.fromEntries(metrics)).toMatchObject({
      quire_num_requests_running: '3',
      quire_num_requests_waiting: '2',
      'quire_kv_blocks{state="used"}': '20',
      'quire_kv_blocks{state="cached"}': '4',
      'quire_kv_blocks{state="free"}': '1000',
      quire_prompt_tokens_total: '70',
      quire_generation_tokens_total: '30',
      quire_prefix_cache_queries_total: '100',
      quire_prefix_cache_hits_total: '30',
      quire_preemptions_total: '1',
    });
    expect(Number(metrics.get('process_resident_memory_bytes'))).toBeGreaterThan(0);
  });

  test('tell which KV backend runs, and why', async () => {
    const [sample] = [...(await metricsOf(quietApp(fakeServing())))].filter(([name]) =>
      name.startsWith('quire_engine_info'),
    );
    expect(sample![0]).toMatch(
      /^quire_engine_info\{kv_backend="pages",kv_backend_reason="[^"]+",kv_cache_dtype="f16",kernel="[^"]+"\}$/,
    );
    expect(sample![1]).toBe('1');
  });

  test('do not add up when they are read twice', async () => {
    const app = quietApp(fakeServing());
    await metricsOf(app);
    expect((await metricsOf(app)).get('quire_generation_tokens_total')).toBe('30');
  });

  test('time every request, its first text, and the texts after it', async () => {
    const app = quietApp(fakeServing());
    await (await app.request('/v1/chat/completions', post(chat({ n: 2, stream: true })))).text();
    await (await app.request('/v1/completions', post({ prompt: ['a', 'b'] }))).text();
    expect(Object.fromEntries(await metricsOf(app))).toMatchObject({
      quire_time_to_first_token_seconds_count: '2',
      // Four choices of three words each.
      quire_inter_token_latency_seconds_count: '8',
      quire_e2e_request_latency_seconds_count: '2',
      'quire_request_success_total{finished_reason="stop"}': '4',
    });
  });

  test('count choices that a client left as aborted', async () => {
    const app = quietApp(fakeServing(() => [delta(0, 'a'), finish(0, 'length'), delta(1, 'b'), delta(1, 'c')]));
    const response = await app.request('/v1/chat/completions', post(chat({ n: 2, stream: true })));
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.read();
    await reader?.cancel();
    expect(Object.fromEntries(await metricsOf(app))).toMatchObject({
      quire_e2e_request_latency_seconds_count: '1',
      'quire_request_success_total{finished_reason="length"}': '1',
      'quire_request_success_total{finished_reason="abort"}': '1',
    });
  });

  test('of two apps are apart', async () => {
    const [used, unused] = [quietApp(fakeServing()), quietApp(fakeServing())];
    await (await used.request('/v1/completions', post({ prompt: 'x' }))).text();
    expect((await metricsOf(unused)).get('quire_e2e_request_latency_seconds_count')).toBe('0');
  });
});

describe('API keys', () => {
  const app = quietApp(fakeServing(), { apiKeys: ['first', 'team:2/x'] });
  const withKey = (authorization?: string) =>
    app.request('/v1/models', authorization === undefined ? {} : { headers: { Authorization: authorization } });

  test.each(['Bearer first', 'bearer first', 'Bearer   first', 'Bearer team:2/x'])(
    'let %j pass',
    async (authorization) => {
      expect((await withKey(authorization)).status).toBe(200);
    },
  );

  test.each([undefined, '', 'first', 'Basic first', 'Bearer', 'Bearer '])('ask %j for a key', async (authorization) => {
    const response = await withKey(authorization);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
    expect(await response.json()).toEqual({
      error: {
        message: 'You did not provide an API key. Send the header Authorization: Bearer YOUR_KEY.',
        type: 'invalid_request_error',
        param: null,
        code: null,
      },
    });
  });

  test.each(['Bearer second', 'Bearer firs', 'Bearer first1', 'Bearer FIRST'])('refuse %j', async (authorization) => {
    const response = await withKey(authorization);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ error: { code: 'invalid_api_key' } });
  });

  test('guard every URL under /v1 and no other', async () => {
    for (const path of ['/v1/chat/completions', '/v1/completions', '/v1/models/x', '/v1/nothing']) {
      expect((await app.request(path, { method: 'POST' })).status).toBe(401);
    }
    for (const path of ['/', '/health', '/health/live', '/metrics', '/openapi.json']) {
      expect((await app.request(path)).status).toBe(200);
    }
  });
});

describe('request ids', () => {
  test('are echoed, or made', async () => {
    const app = quietApp(fakeServing());
    const echoed = await app.request('/health', { headers: { 'X-Request-Id': 'mine-1' } });
    expect(echoed.headers.get('x-request-id')).toBe('mine-1');
    const made = await app.request('/v1/nothing');
    expect(made.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('cross-origin requests', () => {
  const preflight = {
    method: 'OPTIONS',
    headers: { Origin: 'https://page.example', 'Access-Control-Request-Method': 'POST' },
  };

  test('are not allowed by default', async () => {
    const response = await quietApp(fakeServing()).request('/v1/chat/completions', preflight);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });

  test('are allowed to the origins that are named, without a key for the preflight', async () => {
    const app = quietApp(fakeServing(), { allowedOrigins: ['https://page.example'], apiKeys: ['k'] });
    const response = await app.request('/v1/chat/completions', preflight);
    expect(response.status).toBe(204);
    expect(response.headers.get('access-control-allow-origin')).toBe('https://page.example');
    const other = { ...preflight, headers: { ...preflight.headers, Origin: 'https://other.example' } };
    expect((await app.request('/v1/models', other)).headers.get('access-control-allow-origin')).toBeNull();
  });

  test('are allowed to everyone with *', async () => {
    const app = quietApp(fakeServing(), { allowedOrigins: ['*'] });
    const response = await app.request('/v1/chat/completions', post(chat(), { Origin: 'https://any.example' }));
    expect(response.headers.get('access-control-allow-origin')).toBe('*');
  });
});

describe('the OpenAPI document', () => {
  interface Document {
    openapi: string;
    paths: Record<string, Record<string, { responses: Record<string, unknown> }>>;
    components: { schemas: Record<string, { properties: Record<string, unknown>; required?: string[] }> };
  }

  async function document(): Promise<Document> {
    return (await (await quietApp(fakeServing()).request('/openapi.json')).json()) as Document;
  }

  test('is valid OpenAPI 3.1', async () => {
    const result = await new Validator().validate({ ...(await document()) });
    expect(result.errors).toBeUndefined();
    expect(result.valid).toBe(true);
  });

  test('names every route with its answers', async () => {
    const { paths } = await document();
    const answers = Object.entries(paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, { responses }]) => [method, path, ...Object.keys(responses)].join(' ')),
    );
    expect(answers.sort()).toEqual([
      'delete /v1/responses/{response_id} 200 401 404',
      'delete /v1/streams/{id} 204 401 404 410',
      'get /api/ps 200 401',
      'get /api/tags 200 401',
      'get /api/version 200 401',
      'get /health 200 503',
      'get /health/live 200',
      'get /health/ready 200 503',
      'get /info 200 401 503',
      'get /metrics 200',
      'get /ping 200 503',
      'get /props 200 401 503',
      'get /slots 200 401 503',
      'get /v1/models 200 401',
      'get /v1/models/{model} 200 401 404 503',
      'get /v1/responses/{response_id} 200 400 401 404',
      'get /v1/responses/{response_id}/input_items 200 400 401 404',
      'get /v1/streams/{id} 200 204 400 401 404 410',
      'get /v2 200 401',
      'get /v2/health/live 200',
      'get /v2/health/ready 200 503',
      'get /v2/models/{model} 200 401 404 503',
      'get /v2/models/{model}/ready 200 404 503',
      'post / 200 401 413 415 422 429 500 503 504',
      'post /api/chat 200 400 401 404 413 429 500 503 504',
      'post /api/embed 200 400 401 404 413 429 500 503 504',
      'post /api/embeddings 200 400 401 404 413 429 500 503 504',
      'post /api/generate 200 400 401 404 413 429 500 503 504',
      'post /api/show 200 400 401 404 413 429 500 503 504',
      'post /apply-template 200 400 401 404 413 415 429 500 503 504',
      'post /completion 200 400 401 404 413 415 429 500 503 504',
      'post /completions 200 400 401 404 413 415 429 500 503 504',
      'post /detokenize 200 400 401 404 413 415 429 500 503 504',
      'post /generate 200 401 413 415 422 429 500 503 504',
      'post /generate_stream 200 401 413 415 422 429 500 503 504',
      'post /infill 200 400 401 404 413 415 429 500 503 504',
      'post /invocations 200 400 401 404 413 415 429 500 503 504',
      'post /rerank 200 400 401 404 413 415 429 500 503 504',
      'post /score 200 400 401 404 413 415 429 500 503 504',
      'post /tokenize 200 400 401 404 413 415 429 500 503 504',
      'post /v1/chat/completions 200 400 401 404 413 415 429 500 503 504',
      'post /v1/completions 200 400 401 404 413 415 429 500 503 504',
      'post /v1/embeddings 200 400 401 404 413 415 429 500 503 504',
      'post /v1/messages 200 400 401 404 413 415 429 500 503 504',
      'post /v1/messages/count_tokens 200 400 401 404 413 415 429 500 503 504',
      'post /v1/rerank 200 400 401 404 413 415 429 500 503 504',
      'post /v1/responses 200 400 401 404 413 415 429 500 503 504',
      'post /v1/responses/input_tokens 200 400 401 404 413 415 429 500 503 504',
      'post /v1/responses/{response_id}/cancel 400 401 404',
      'post /v1/score 200 400 401 404 413 415 429 500 503 504',
      'post /v2/models/{model}/generate 200 400 401 404 413 415 429 500 503 504',
      'post /v2/models/{model}/generate_stream 200 400 401 404 413 415 429 500 503 504',
      'post /v2/models/{model}/versions/{version}/generate 200 400 401 404 413 415 429 500 503 504',
      'post /v2/models/{model}/versions/{version}/generate_stream 200 400 401 404 413 415 429 500 503 504',
      'post /v2/rerank 200 400 401 404 413 415 429 500 503 504',
    ]);
  });

  test('describes the fields of requests with their ranges', async () => {
    const { schemas } = (await document()).components;
    expect(schemas.ChatCompletionRequest?.required).toEqual(['messages']);
    expect(schemas.ChatCompletionRequest?.properties.temperature).toMatchObject({ minimum: 0, maximum: 2 });
    expect(schemas.ChatCompletionRequest?.properties.messages).toMatchObject({
      type: 'array',
      items: { $ref: '#/components/schemas/ChatMessage' },
      maxItems: 2048,
    });
    expect(schemas.CompletionRequest?.properties.prompt).toMatchObject({ oneOf: expect.any(Array) });
  });
});

test('the root says where things are', async () => {
  const response = await quietApp(fakeServing()).request('/');
  expect(await response.json()).toMatchObject({ name: 'quire', api: '/v1', openapi: '/openapi.json' });
});

test('an app can be mounted in another one', async () => {
  const outer = new Hono().mount('/llm', quietApp(fakeServing()).fetch);
  const response = await outer.request('/llm/v1/chat/completions', post(chat()));
  expect(response.status).toBe(200);
  const refused = await outer.request('/llm/v1/chat/completions', post({}));
  expect(await refused.json()).toMatchObject({ error: { param: 'messages' } });
});
