import { describe, expect, test } from 'vitest';
import type { GenerationEvent } from '../../src/serving/index.js';
import { ended, said } from '../support/answers.js';
import { eventData, post, quietApp } from '../support/api.js';
import { fakeServing, replies, type Script } from '../support/fake-serving.js';

const MODEL = '/v2/models/fake-model';

async function answer(path: string, body: object, script?: Script | readonly GenerationEvent[]) {
  const serving = fakeServing(typeof script === 'object' ? () => script : script);
  const response = await quietApp(serving).request(path, post(body));
  return { serving, response, text: await response.text() };
}

const events = (text: string) => eventData(text).map((json) => JSON.parse(json));
const head = { model_name: 'fake-model', model_version: '1' };
const tokens = [
  { id: 1, text: 'a', logprob: -0.25, special: false },
  { id: 2, text: 'bb', logprob: -0.25, special: false },
];

describe('generate', () => {
  test.each([MODEL, `${MODEL}/versions/1`])('answers with text: %s', async (path) => {
    const { response, text } = await answer(`${path}/generate`, { id: '42', text_input: 'Hi' });
    expect(response.status).toBe(200);
    expect(JSON.parse(text)).toEqual({ id: '42', ...head, text_output: 'Hello there!' });
  });

  test('tells tokens and why it ended when asked', async () => {
    const body = { text_input: 'Hi', parameters: { details: true } };
    const { text } = await answer(`${MODEL}/generate`, body, replies('a', 'bb'));
    expect(JSON.parse(text)).toEqual({
      ...head,
      text_output: 'abb',
      details: { finish_reason: 'eos_token', logprobs: tokens },
    });
  });

  test.each([
    [ended('length'), 'length'],
    [ended('stop', 'END'), 'stop_sequence'],
  ])('says why it ended (%#)', async (end, finish_reason) => {
    const body = { text_input: 'Hi', parameters: { details: true } };
    const { text } = await answer(`${MODEL}/generate`, body, [said({ text: 'x' }), end]);
    expect(JSON.parse(text).details.finish_reason).toBe(finish_reason);
  });

  test('asks serving for what the parameters say', async () => {
    const parameters = { temperature: 0.5, top_p: 0.9, top_k: 5, max_tokens: 7, stop: ['END'], seed: 1, anything: 2 };
    const { serving } = await answer(`${MODEL}/generate`, { text_input: 'Hi', parameters });
    expect(serving.requests[0]).toMatchObject({
      model: 'fake-model',
      prompt: { kind: 'text', text: 'Hi' },
      stop: ['END'],
      sampling: { temperature: 0.5, topP: 0.9, topK: 5, maxTokens: 7, seed: 1, logprobs: null },
    });
    const bare = await answer(`${MODEL}/generate`, { text_input: 'Hi', parameters: null });
    expect(bare.serving.requests[0]?.sampling.maxTokens).toBe(20);
  });
});

describe('generate_stream', () => {
  test('has an event for each piece', async () => {
    const { response, text } = await answer(`${MODEL}/generate_stream`, { id: 'x', text_input: 'Hi' });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const pieces = ['Hello', ' there', '!'].map((text_output) => ({ id: 'x', ...head, text_output }));
    expect(events(text)).toEqual(pieces);
  });

  test('has an event for each token with details', async () => {
    const body = { text_input: 'Hi', parameters: { details: true } };
    const { text } = await answer(`${MODEL}/versions/1/generate_stream`, body, replies('a', 'bb'));
    expect(events(text)).toEqual([
      { ...head, text_output: 'a', details: { token: tokens[0] } },
      { ...head, text_output: 'bb', details: { token: tokens[1] } },
      { ...head, text_output: '', details: { finish_reason: 'eos_token' } },
    ]);
  });

  test('ends with an error when the engine stops on the way', async () => {
    const { text } = await answer(`${MODEL}/generate_stream`, { text_input: 'x' }, [
      said({ text: 'a' }),
      ended('error'),
    ]);
    expect(events(text).at(-1)).toEqual({ error: expect.stringContaining('Send the request again') });
  });
});

describe('server and models', () => {
  test('describe themselves', async () => {
    const app = quietApp(fakeServing());
    expect(await (await app.request('/v2')).json()).toEqual({ name: 'quire', version: '1', extensions: ['generate'] });
    expect(await (await app.request(MODEL)).json()).toMatchObject({ name: 'fake-model', versions: ['1'] });
  });

  test('say whether they are ready, without a key', async () => {
    const serving = fakeServing();
    const app = quietApp(serving, { apiKeys: ['k'] });
    const ask = async (path: string) => {
      const response = await app.request(path);
      return [response.status, await response.json()];
    };
    expect(await ask('/v2/health/live')).toEqual([200, { live: true }]);
    expect(await ask('/v2/health/ready')).toEqual([200, { ready: true }]);
    expect(await ask(`${MODEL}/ready`)).toEqual([200, { name: 'fake-model', ready: true }]);
    serving.setState({ state: 'loading', phase: 'x', fraction: 0 });
    expect(await ask('/v2/health/ready')).toEqual([503, { ready: false }]);
    expect(await ask('/v2/models/nobody/ready')).toEqual([404, { error: expect.stringContaining('nobody') }]);
    expect((await ask('/v2'))[0]).toBe(401);
    expect((await ask(MODEL))[0]).toBe(401);
    expect((await app.request(`${MODEL}/generate`, post({ text_input: 'x' }))).status).toBe(401);
  });

  test.each([
    ['/v2/models/nobody/generate', { text_input: 'x' }, 404, 'nobody'],
    [`${MODEL}/generate`, {}, 400, 'text_input: is required'],
    [`${MODEL}/generate`, { text_input: 'x', parameters: { temperature: -1 } }, 400, 'parameters.temperature: must be'],
  ])('say what is wrong: %s %j', async (path, body, status, message) => {
    const { response, text } = await answer(path, body);
    expect(response.status).toBe(status);
    expect(JSON.parse(text)).toEqual({ error: expect.stringContaining(message) });
  });
});
