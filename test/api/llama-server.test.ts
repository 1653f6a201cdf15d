import { describe, expect, test } from 'vitest';
import type { GenerationEvent } from '../../src/serving/index.js';
import { ended, said } from '../support/answers.js';
import { eventData, post, quietApp } from '../support/api.js';
import { delta, fakeModel, fakeServing, finish, replies, type Script } from '../support/fake-serving.js';

const URL = '/completion';

async function answer(body: object, script?: Script | readonly GenerationEvent[], path = URL) {
  const serving = fakeServing(typeof script === 'object' ? () => script : script);
  const response = await quietApp(serving).request(path, post(body));
  return { serving, response, text: await response.text() };
}

const events = (text: string) => eventData(text).map((json) => JSON.parse(json));
const number = expect.any(Number);
const timings = {
  cache_n: 4,
  prompt_n: 6,
  prompt_ms: number,
  prompt_per_token_ms: number,
  prompt_per_second: number,
  predicted_n: 3,
  predicted_ms: number,
  predicted_per_token_ms: number,
  predicted_per_second: number,
};
const end = {
  index: 0,
  tokens: [],
  id_slot: -1,
  stop: true,
  model: 'fake-model',
  tokens_predicted: 3,
  tokens_evaluated: 10,
  generation_settings: expect.objectContaining({
    temperature: 0.8,
    top_k: 40,
    top_p: 0.95,
    min_p: 0.05,
    n_predict: -1,
  }),
  prompt: 'Hi',
  has_new_line: false,
  truncated: false,
  stop_type: 'eos',
  stopping_word: '',
  tokens_cached: 13,
  timings,
};

describe('a whole completion', () => {
  test.each(['/completion', '/completions'])('has the fields of llama-server: %s', async (path) => {
    const { response, text } = await answer({ prompt: 'Hi' }, undefined, path);
    expect(response.status).toBe(200);
    expect(JSON.parse(text)).toEqual({ ...end, content: 'Hello there!' });
  });

  test.each([
    [ended('length'), 'limit', ''],
    [ended('stop', '###'), 'word', '###'],
    [ended('stop', 5), 'eos', ''],
  ])('says why it ended (%#)', async (finish, stop_type, stopping_word) => {
    const { text } = await answer({ prompt: 'Hi' }, [said({ text: 'a\nb' }), finish]);
    expect(JSON.parse(text)).toMatchObject({ stop_type, stopping_word, has_new_line: true });
  });

  test('has tokens and their probabilities when asked', async () => {
    const { serving, text } = await answer({ prompt: 'Hi', return_tokens: true, n_probs: 3 }, replies('a', 'bb'));
    expect(serving.requests[0]?.sampling.logprobs).toBe(3);
    const body = JSON.parse(text);
    expect(body.tokens).toEqual([1, 2]);
    expect(body.completion_probabilities).toHaveLength(2);
    expect(body.completion_probabilities[0]).toEqual({
      id: 1,
      token: 'a',
      bytes: [97],
      logprob: -0.25,
      top_logprobs: [
        { id: 1, token: 'a', bytes: [97], logprob: -0.25 },
        { id: 2, token: 'a?', bytes: [97, 63], logprob: -1.5 },
        { id: 2, token: 'a…', bytes: [97, 226, 128, 166], logprob: -9999 },
      ],
    });
  });

  test('is a list for several prompts or choices, each with its own counts', async () => {
    const script: Script = function* (request) {
      const logprobs = request.sampling.logprobs ?? undefined;
      yield delta(1, 'b', logprobs);
      yield delta(0, 'a', logprobs);
      yield delta(0, 'A', logprobs);
      yield finish(1, 'length');
      yield finish(0, 'stop');
    };
    const { serving, text } = await answer({ prompt: ['one', [1, 2]], n: 2 }, script);
    expect(serving.requests.map(({ prompt, n }) => [prompt, n])).toEqual([
      [{ kind: 'text', text: 'one' }, 2],
      [{ kind: 'tokens', tokenIds: [1, 2] }, 2],
    ]);
    const lengths = serving.requests.map(({ prompt }) => serving.tokenize(undefined, prompt).tokenIds.length);
    expect(JSON.parse(text)).toMatchObject([
      { index: 0, content: 'aA', tokens: [], tokens_predicted: 2, tokens_evaluated: lengths[0], prompt: 'one' },
      { index: 1, content: 'b', tokens: [], tokens_predicted: 1, tokens_evaluated: lengths[0], stop_type: 'limit' },
      { index: 2, content: 'aA', tokens_predicted: 2, tokens_evaluated: lengths[1], prompt: [1, 2] },
      { index: 3, content: 'b', tokens_predicted: 1, tokens_evaluated: lengths[1] },
    ]);
  });
});

test('a prompt may mix texts and token ids', async () => {
  const prompt = ['a', 7, 'b'];
  const { serving, text } = await answer({ prompt });
  const encode = (text: string, addSpecialTokens: boolean) => [
    ...serving.tokenize(undefined, { kind: 'text', text, addSpecialTokens }).tokenIds,
  ];
  const tokenIds = [...encode('a', true), 7, ...encode('b', false)];
  expect(serving.requests[0]?.prompt).toEqual({ kind: 'tokens', tokenIds });
  expect(JSON.parse(text)).toMatchObject({ prompt, tokens_evaluated: tokenIds.length });
});

test('POST /infill fills a gap', async () => {
  const gap = { input_prefix: 'def f(', input_suffix: '):', n_predict: 3 };
  const { serving, text } = await answer(gap, undefined, '/infill');
  expect(serving.requests[0]).toMatchObject({
    prompt: { kind: 'fill', prefix: 'def f(', suffix: '):' },
    sampling: { maxTokens: 3 },
  });
  expect(JSON.parse(text)).toMatchObject({ content: 'Hello there!', prompt: 'def f(' });
  const extra = await answer({ ...gap, input_extra: [{ text: 'x' }] }, undefined, '/infill');
  expect(extra.response.status).toBe(400);
  expect(JSON.parse(extra.text).error.message).toContain('input_extra: is not supported');
});

describe('a streamed completion', () => {
  test('has pieces, and the numbers in its last event; no [DONE]', async () => {
    const { response, text } = await answer({ prompt: 'Hi', stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const piece = (content: string, tokens_predicted: number) => ({
      index: 0,
      content,
      tokens: [],
      stop: false,
      id_slot: -1,
      tokens_predicted,
      tokens_evaluated: 10,
    });
    expect(events(text)).toEqual([piece('Hello', 1), piece(' there', 2), piece('!', 3), { ...end, content: '' }]);
  });

  test('is the whole completion', async () => {
    const asked = { prompt: ['a', 'b'], return_tokens: true, n_probs: 1 };
    const whole = JSON.parse((await answer(asked, replies('x\n', 'y'))).text);
    const streamed = events(
      (await answer({ ...asked, stream: true, timings_per_token: true }, replies('x\n', 'y'))).text,
    );
    for (const [index, expected] of whole.entries()) {
      const own = streamed.filter((event) => event.index === index);
      const assembled = {
        ...own.at(-1),
        content: own.map(({ content }) => content).join(''),
        tokens: own.flatMap(({ tokens }) => tokens),
        completion_probabilities: own.flatMap((event) => event.completion_probabilities ?? []),
      };
      expect(assembled).toEqual({ ...expected, timings: expect.anything() });
      expect(own.every((event) => event.timings.cache_n === 8)).toBe(true);
    }
  });

  test('ends with an error when the engine stops on the way', async () => {
    const { text } = await answer({ prompt: 'Hi', stream: true }, [said({ text: 'half' }), ended('error')]);
    expect(events(text).at(-1)).toEqual({
      error: { code: 503, message: expect.stringContaining('Send the request again'), type: 'unavailable_error' },
    });
  });
});

describe('what serving is asked for', () => {
  test('every field arrives', async () => {
    const { serving } = await answer({
      prompt: { prompt_string: 'Hi' },
      n_predict: 5,
      stop: ['', 'END'],
      temperature: 0,
      top_k: 0,
      top_p: 0.5,
      min_p: 0.1,
      typical_p: 0.9,
      repeat_penalty: 1.2,
      presence_penalty: 1,
      frequency_penalty: -1,
      seed: 7,
      logit_bias: [
        [3, 1.5],
        [4, false],
      ],
      ignore_eos: true,
      grammar: 'root ::= "a"',
      cache_prompt: false,
    });
    const [request] = serving.requests;
    expect(request).toEqual({
      id: expect.stringMatching(/^llama-/),
      model: undefined,
      prompt: { kind: 'text', text: 'Hi' },
      n: 1,
      stop: ['END'],
      cacheSalt: request?.id,
      structuredOutput: { kind: 'grammar', grammar: 'root ::= "a"' },
      sampling: {
        temperature: 0,
        topK: 0,
        topP: 0.5,
        minP: 0.1,
        typicalP: 0.9,
        repetitionPenalty: 1.2,
        presencePenalty: 1,
        frequencyPenalty: -1,
        seed: 7,
        maxTokens: 5,
        ignoreEos: true,
        logitBias: [
          [3, 1.5],
          [4, -1e9],
        ],
        logprobs: null,
      },
    });
  });

  test('a schema, and a bias as an object', async () => {
    const { serving } = await answer({ prompt: 'x', json_schema: { type: 'object' }, logit_bias: { 5: -2 } });
    expect(serving.requests[0]).toMatchObject({
      structuredOutput: { kind: 'json_schema', schema: { type: 'object' }, strict: true, param: 'json_schema' },
      sampling: { logitBias: [[5, -2]] },
    });
  });

  test('what stands for nothing is nothing', async () => {
    const nothing = { seed: -1, n_predict: -1, stop: [], grammar: '', n_probs: 0, mirostat: 0, samplers: ['top_k'] };
    const { serving } = await answer({
      prompt: 'x',
      ...nothing,
      cache_prompt: true,
      repeat_last_n: 0,
      repeat_penalty: 2,
    });
    const bare = await answer({ prompt: 'x', seed: 4294967295, nobody_knows: true });
    expect({ ...serving.requests[0], id: '' }).toEqual({ ...bare.serving.requests[0], id: '' });
  });
});

describe('what is wrong is told in llama-server’s shape', () => {
  test.each([
    [{}, 'prompt: is required'],
    [{ prompt: [] }, 'prompt: must be a string'],
    [{ prompt: [1, {}] }, 'prompt: must be a string'],
    [{ prompt: [1, 'x', -1] }, 'prompt: must be a string'],
    [{ prompt: { prompt_string: 'x', multimodal_data: ['aGk='] } }, 'prompt: must be a string'],
    [{ prompt: 'x', n_predict: 0 }, 'n_predict: must be -1 or at least 1'],
    [{ prompt: 'x', mirostat: 2 }, 'mirostat: is not supported'],
    [{ prompt: 'x', n_probs: 21 }, 'n_probs: must be <= 20'],
    [{ prompt: 'x', logit_bias: [['word', 1]] }, 'logit_bias: must be a list'],
    [{ prompt: 'x', json_schema: {}, grammar: 'root ::= "a"' }, 'grammar: is not allowed together with `json_schema`'],
  ])('%j', async (body, message) => {
    const { response, text, serving } = await answer(body);
    expect(response.status).toBe(400);
    expect(JSON.parse(text)).toEqual({
      error: { code: 400, message: expect.stringContaining(message), type: 'invalid_request_error' },
    });
    expect(serving.requests).toEqual([]);
  });

  test('a missing key', async () => {
    const app = quietApp(fakeServing(), { apiKeys: ['k'] });
    for (const request of [app.request(URL, post({ prompt: 'x' })), app.request('/props'), app.request('/slots')]) {
      const response = await request;
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error: { code: 401, type: 'authentication_error' } });
    }
    expect((await app.request('/props', { headers: { Authorization: 'Bearer k' } })).status).toBe(200);
  });
});

describe('the server', () => {
  test('has properties', async () => {
    const response = await quietApp(fakeServing()).request('/props');
    expect(await response.json()).toEqual({
      default_generation_settings: {
        params: expect.objectContaining({ temperature: 0.8, repeat_penalty: 1, n_predict: -1 }),
        n_ctx: 4096,
      },
      total_slots: 64,
      model_alias: 'fake-model',
      model_path: '/models/fake.gguf',
      modalities: { vision: false, audio: false },
      build_info: 'quire',
    });
  });

  test('has a slot for each sequence, some of them busy', async () => {
    const serving = fakeServing();
    const app = quietApp(serving);
    const slots = (await (await app.request('/slots')).json()) as { id: number; is_processing: boolean }[];
    expect(slots).toHaveLength(64);
    expect(slots[2]).toEqual({ id: 2, n_ctx: 4096, speculative: false, is_processing: true });
    expect(slots.filter((slot) => slot.is_processing)).toHaveLength(3);
    expect((await app.request('/slots?fail_on_no_slot=1')).status).toBe(200);
    serving.resolveModel = () => ({ ...fakeModel, info: { ...fakeModel.info, maxNumSeqs: 3 } });
    const full = await app.request('/slots?fail_on_no_slot=1');
    expect(full.status).toBe(503);
    expect(await full.json()).toMatchObject({ error: { type: 'unavailable_error' } });
  });
});
