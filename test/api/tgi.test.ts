import { describe, expect, test } from 'vitest';
import type { GeneratedToken, GenerationEvent } from '../../src/serving/index.js';
import { ended, said } from '../support/answers.js';
import { eventData, post, quietApp } from '../support/api.js';
import { fakeServing, replies, type Script } from '../support/fake-serving.js';

async function answer(path: string, body: object, script?: Script | readonly GenerationEvent[]) {
  const serving = fakeServing(typeof script === 'object' ? () => script : script);
  const response = await quietApp(serving).request(path, post(body));
  return { serving, response, text: await response.text() };
}

const events = (text: string) => eventData(text).map((json) => JSON.parse(json));

function token(tokenId: number, bytes: string | number[], logprob = -1): GeneratedToken {
  const buffer = Buffer.from(bytes as string);
  return { tokenId, token: buffer.toString(), bytes: [...buffer], logprob, top: [] };
}

function delta(text: string, ...tokens: GeneratedToken[]): GenerationEvent {
  return { ...said({ text }), tokens } as GenerationEvent;
}

/** An emoji over two tokens, text that runs ahead of its token, a special token, and the end of the text. */
const odd = [
  delta('a', token(1, 'a')),
  delta('', token(2, [0xf0, 0x9f])),
  delta('👍', token(3, [0x91, 0x8d])),
  delta('bc'),
  delta('d', token(4, '<|x|>'), token(5, 'bcd')),
  delta('', token(6, '</s>')),
  ended(),
];
const oddTokens = [
  { id: 1, text: 'a', logprob: -1, special: false },
  { id: 2, text: '', logprob: -1, special: false },
  { id: 3, text: '👍', logprob: -1, special: false },
  { id: 4, text: '<|x|>', logprob: -1, special: true },
  { id: 5, text: 'bcd', logprob: -1, special: false },
  { id: 6, text: '</s>', logprob: -1, special: true },
];

describe('POST /generate', () => {
  test('answers with the text alone', async () => {
    const { response, text } = await answer('/generate', { inputs: 'Hi' });
    expect(response.status).toBe(200);
    expect(JSON.parse(text)).toEqual({ generated_text: 'Hello there!' });
  });

  test('tells tokens when asked for details', async () => {
    const { serving, text } = await answer('/generate', { inputs: 'Hi', parameters: { details: true } }, odd);
    expect(serving.requests[0]?.sampling.logprobs).toBe(0);
    expect(JSON.parse(text)).toEqual({
      generated_text: 'a👍bcd',
      details: {
        finish_reason: 'eos_token',
        generated_tokens: 6,
        seed: null,
        prefill: [],
        tokens: oddTokens,
      },
    });
  });

  test.each([
    [ended('length'), 'length'],
    [ended('stop', 'END'), 'stop_sequence'],
    [ended('stop'), 'eos_token'],
  ])('says why it ended (%#)', async (end, finish_reason) => {
    const { text } = await answer('/generate', { inputs: 'Hi', parameters: { details: true } }, [
      said({ text: 'x' }),
      end,
    ]);
    expect(JSON.parse(text).details).toMatchObject({ finish_reason });
  });

  test('tells the likeliest tokens, and begins with the prompt when asked', async () => {
    const parameters = { details: true, top_n_tokens: 2, return_full_text: true };
    const { text } = await answer('/generate', { inputs: 'Hi ', parameters }, replies('a'));
    expect(JSON.parse(text)).toMatchObject({
      generated_text: 'Hi a',
      details: {
        top_tokens: [
          [
            { id: 1, text: 'a', logprob: -0.25, special: false },
            { id: 2, text: 'a?', logprob: -1.5, special: false },
          ],
        ],
      },
    });
  });

  test('a stop string ends the text within a token', async () => {
    const { text } = await answer('/generate', { inputs: 'x', parameters: { details: true, stop: ['!'] } }, [
      delta('yes!', token(1, 'yes'), token(2, '!?')),
      ended('stop', '!'),
    ]);
    expect(JSON.parse(text).details.tokens).toMatchObject([
      { text: 'yes', special: false },
      { text: '!', special: false },
    ]);
  });
});

describe('POST /generate_stream', () => {
  test('has an event for each token, the last one with text and details', async () => {
    const { response, text } = await answer(
      '/generate_stream',
      { inputs: 'Hi', parameters: { seed: 3, top_k: 2 } },
      odd,
    );
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const expected = oddTokens.map((token, i) => ({ index: i + 1, token, generated_text: null, details: null }));
    expect(events(text)).toEqual([
      ...expected.slice(0, -1),
      {
        ...expected.at(-1),
        generated_text: 'a👍bcd',
        details: { finish_reason: 'eos_token', generated_tokens: 6, seed: 3, input_length: 10 },
      },
    ]);
  });

  test('is the whole answer', async () => {
    const body = { inputs: 'Hi', parameters: { details: true, top_n_tokens: 1, return_full_text: true } };
    const whole = JSON.parse((await answer('/generate', body, replies('a', 'b'))).text);
    const streamed = events((await answer('/generate_stream', body, replies('a', 'b'))).text);
    expect(streamed.at(-1).generated_text).toBe(whole.generated_text);
    expect(streamed.map((event) => event.token)).toEqual(whole.details.tokens);
    expect(streamed.map((event) => event.top_tokens)).toEqual(whole.details.top_tokens);
  });

  test('ends with an error when the engine stops on the way', async () => {
    const half = [delta('a', token(1, 'a')), delta('b', token(2, 'b')), ended('error')];
    const { text } = await answer('/generate_stream', { inputs: 'Hi' }, half);
    expect(events(text).at(-1)).toEqual({
      error: expect.stringContaining('Send the request again'),
      error_type: 'overloaded',
    });
  });
});

describe('POST /', () => {
  test('answers in a list, or streams', async () => {
    const whole = await answer('/', { inputs: 'Hi' });
    expect(JSON.parse(whole.text)).toEqual([{ generated_text: 'Hello there!' }]);
    const streamed = await answer('/', { inputs: 'Hi', stream: true });
    expect(events(streamed.text).at(-1)).toMatchObject({ generated_text: 'Hello there!' });
  });
});

describe('what serving is asked for', () => {
  test('every parameter arrives', async () => {
    const { serving } = await answer('/generate', {
      inputs: 'Hi',
      parameters: {
        do_sample: true,
        temperature: 0.5,
        top_k: 4,
        top_p: 0.5,
        typical_p: 0.9,
        repetition_penalty: 1.1,
        frequency_penalty: 0.1,
        seed: 7,
        max_new_tokens: 9,
        stop: ['END'],
        grammar: { type: 'regex', value: '[a-z]+' },
        nobody_knows: 1,
      },
    });
    expect(serving.requests).toEqual([
      {
        id: expect.stringMatching(/^tgi-/),
        prompt: { kind: 'text', text: 'Hi' },
        stop: ['END'],
        includeStopInOutput: true,
        structuredOutput: { kind: 'regex', pattern: '[a-z]+' },
        sampling: {
          temperature: 0.5,
          topK: 4,
          topP: 0.5,
          typicalP: 0.9,
          repetitionPenalty: 1.1,
          frequencyPenalty: 0.1,
          seed: 7,
          maxTokens: 9,
          logprobs: null,
        },
      },
    ]);
  });

  test.each([
    [{ type: 'json', value: { type: 'object' } }, 'parameters.grammar.value'],
    [{ type: 'json_schema', value: { schema: { type: 'object' } } }, 'parameters.grammar.value.schema'],
  ])('a schema: %j', async (grammar, param) => {
    const { serving } = await answer('/generate', { inputs: 'Hi', parameters: { grammar } });
    const expected = { kind: 'json_schema', schema: { type: 'object' }, strict: true, param };
    expect(serving.requests[0]?.structuredOutput).toEqual(expected);
  });

  test.each([
    [undefined, true],
    [{}, false],
    [{ do_sample: false, max_new_tokens: 3 }, false],
    [{ temperature: 1 }, false],
    [{ do_sample: true }, true],
    [{ temperature: 0.7 }, true],
    [{ top_p: 0.9 }, true],
  ])('parameters %j sample: %s', async (parameters, samples) => {
    const { serving } = await answer('/generate', { inputs: 'Hi', parameters });
    const { temperature, seed } = serving.requests[0]!.sampling;
    expect(temperature === 0).toBe(!samples);
    expect(typeof seed).toBe(samples ? 'number' : 'undefined');
  });

  test('the end of a prompt that is to be cut', async () => {
    const { serving } = await answer('/generate', { inputs: 'Hello', parameters: { truncate: 3 } });
    const { tokenIds } = serving.tokenize(undefined, { kind: 'text', text: 'Hello' });
    expect(serving.requests[0]?.prompt).toEqual({ kind: 'tokens', tokenIds: [...tokenIds.slice(-3)] });
  });
});

describe('what is wrong is told in TGI’s shape', () => {
  test.each([
    [{}, 'inputs: is required'],
    [{ inputs: '' }, 'inputs: must not be empty'],
    [{ inputs: 'x', parameters: { best_of: 2 } }, 'parameters.best_of: is not supported'],
    [{ inputs: 'x', parameters: { watermark: true } }, 'parameters.watermark: is not supported'],
    [
      { inputs: 'x', parameters: { decoder_input_details: true } },
      'parameters.decoder_input_details: is not supported',
    ],
    [{ inputs: 'x', parameters: { temperature: 0 } }, 'parameters.temperature: must be > 0'],
    [{ inputs: 'x', parameters: { grammar: { type: 'ebnf', value: '' } } }, 'parameters.grammar.type: must be'],
  ])('%j', async (body, message) => {
    for (const path of ['/generate', '/generate_stream', '/']) {
      const { response, text, serving } = await answer(path, body);
      expect(response.status).toBe(422);
      expect(JSON.parse(text)).toEqual({ error: expect.stringContaining(message), error_type: 'validation' });
      expect(serving.requests).toEqual([]);
    }
  });

  test('a missing key, which GET / does not need', async () => {
    const app = quietApp(fakeServing(), { apiKeys: ['k'] });
    for (const request of [app.request('/', post({ inputs: 'x' })), app.request('/info')]) {
      const response = await request;
      expect(response.status).toBe(401);
      expect(await response.json()).toMatchObject({ error_type: 'authentication' });
    }
    expect((await app.request('/')).status).toBe(200);
    expect((await app.request('/', post({ inputs: 'x' }, { Authorization: 'Bearer k' }))).status).toBe(200);
  });
});

test('GET /info describes the server', async () => {
  expect(await (await quietApp(fakeServing()).request('/info')).json()).toEqual({
    model_id: 'fake-model',
    model_sha: null,
    model_pipeline_tag: 'text-generation',
    max_concurrent_requests: 64,
    max_best_of: 1,
    max_stop_sequences: 64,
    max_input_tokens: 4095,
    max_total_tokens: 4096,
    router: 'quire',
  });
});
