import { afterEach, describe, expect, test, vi } from 'vitest';
import { ended } from '../support/answers.js';
import { chat, chunksOf, eventData, post, quietApp } from '../support/api.js';
import { fakeServing } from '../support/fake-serving.js';

afterEach(() => vi.unstubAllEnvs());

describe('SageMaker', () => {
  test('GET /ping needs no key and says whether requests can be answered', async () => {
    const serving = fakeServing();
    const app = quietApp(serving, { apiKeys: ['k'] });
    expect((await app.request('/ping')).status).toBe(200);
    serving.setState({ state: 'loading', phase: 'x', fraction: 0 });
    expect((await app.request('/ping')).status).toBe(503);
  });

  test('POST /invocations answers what the body is for', async () => {
    const app = quietApp(fakeServing());
    const ask = async (body: object) => (await app.request('/invocations', post(body))).json();
    expect(await ask(chat())).toMatchObject({
      object: 'chat.completion',
      choices: [{ message: { content: 'Hello there!' } }],
    });
    expect(await ask({ prompt: 'Hi' })).toMatchObject({
      object: 'text_completion',
      choices: [{ text: 'Hello there!' }],
    });
    expect(await ask({ inputs: 'Hi' })).toEqual([{ generated_text: 'Hello there!' }]);
  });

  test('streams, and hears when the client leaves', async () => {
    const serving = fakeServing();
    const app = quietApp(serving);
    const stream = await app.request('/invocations', post(chat({ stream: true })));
    expect(chunksOf(await stream.text()).length).toBe(5);
    const tgi = await app.request('/invocations', post({ inputs: 'x', stream: true }));
    expect(JSON.parse(eventData(await tgi.text()).at(-1)!)).toMatchObject({ generated_text: 'Hello there!' });
    const left = await app.request('/invocations', post(chat({ stream: true })));
    const reader = left.body!.getReader();
    await reader.read();
    await reader.cancel();
    expect(serving.aborted).toEqual([serving.requests.at(-1)?.id]);
  });

  test.each([
    [JSON.stringify({ messages: [] }), 400, 'messages'],
    [JSON.stringify({ anything: 1 }), 400, '`messages`'],
    ['[1]', 400, '`messages`'],
    ['1', 400, 'JSON object'],
    ['{', 400, 'not valid JSON'],
    [JSON.stringify(chat({ model: 'nobody' })), 404, 'nobody'],
  ])('%s is refused as OpenAI would', async (body, status, message) => {
    const response = await quietApp(fakeServing()).request('/invocations', post(body));
    expect(response.status).toBe(status);
    expect(await response.json()).toEqual({
      error: {
        message: expect.stringContaining(message),
        type: 'invalid_request_error',
        param: status === 404 ? 'model' : body.includes('[]') ? 'messages' : null,
        code: status === 404 ? 'model_not_found' : null,
      },
    });
  });

  test('is behind the key and the limit of bodies', async () => {
    const app = quietApp(fakeServing(), { apiKeys: ['k'], maxBodyBytes: 100 });
    expect((await app.request('/invocations', post(chat()))).status).toBe(401);
    const large = post({ prompt: 'x'.repeat(100) }, { Authorization: 'Bearer k' });
    expect((await app.request('/invocations', large)).status).toBe(413);
  });
});

describe('Vertex AI', () => {
  test('has no routes unless the platform names them', async () => {
    const app = quietApp(fakeServing());
    expect((await app.request('/predict', post({ instances: [] }))).status).toBe(404);
  });

  test('answers every instance, with common parameters', async () => {
    vi.stubEnv('AIP_PREDICT_ROUTE', '/predict');
    const serving = fakeServing();
    const instances = [chat({ '@requestFormat': 'chatCompletions' }), { prompt: 'a', max_tokens: 9 }, { inputs: 'b' }];
    const body = { instances, parameters: { max_tokens: 5, seed: 1 } };
    const response = await quietApp(serving).request('/predict', post(body));
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({
      predictions: [
        { object: 'chat.completion', choices: [{ message: { content: 'Hello there!' } }] },
        { object: 'text_completion', choices: [{ text: 'Hello there!' }] },
        [{ generated_text: 'Hello there!' }],
      ],
    });
    expect(serving.requests.map(({ sampling }) => sampling.maxTokens)).toEqual([5, 9, undefined]);
  });

  test('answers all instances or none', async () => {
    vi.stubEnv('AIP_PREDICT_ROUTE', '/predict');
    const serving = fakeServing(async function* (request) {
      if (request.prompt.kind === 'text') await new Promise(() => {});
      yield ended('error');
    });
    const response = await quietApp(serving).request('/predict', post({ instances: [{ prompt: 'waits' }, chat()] }));
    expect(response.status).toBe(503);
    expect(serving.aborted).toContain(serving.requests.find(({ prompt }) => prompt.kind === 'text')?.id);
  });

  test.each([
    [{}, 'instances'],
    [{ instances: [] }, 'instances'],
    [{ instances: [{ prompt: 'x', stream: true }] }, 'instances[0].stream'],
    [{ instances: [{}] }, null],
    [{ instances: [{ prompt: 'x', n: 0 }] }, 'n'],
  ])('%j is refused', async (body, param) => {
    vi.stubEnv('AIP_PREDICT_ROUTE', '/predict');
    const response = await quietApp(fakeServing()).request('/predict', post(body));
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: 'invalid_request_error', param } });
  });

  test('is behind the key, its probe is not', async () => {
    vi.stubEnv('AIP_PREDICT_ROUTE', '/predict');
    vi.stubEnv('AIP_HEALTH_ROUTE', '/healthz');
    const app = quietApp(fakeServing(), { apiKeys: ['k'] });
    expect((await app.request('/predict', post({ instances: [chat()] }))).status).toBe(401);
    expect((await app.request('/healthz')).status).toBe(200);
  });
});
