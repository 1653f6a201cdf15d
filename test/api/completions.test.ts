import { describe, expect, test } from 'vitest';
import type { GenerationDelta } from '../../src/serving/index.js';
import { chunksOf, post, quietApp } from '../support/api.js';
import { delta, fakeServing, finish, replies, type Script } from '../support/fake-serving.js';

const ID = expect.stringMatching(/^cmpl-[0-9a-f]{32}$/);

async function answer(body: object, script?: Script) {
  const serving = fakeServing(script);
  const response = await quietApp(serving).request('/v1/completions', post(body));
  return { serving, response, text: await response.text() };
}

/** Says the prompt's first word or token back. */
const parrot: Script = function* (request) {
  const { prompt } = request;
  const first = prompt.kind === 'text' ? prompt.text : prompt.kind === 'tokens' ? String(prompt.tokenIds[0]) : '';
  for (let choice = 0; choice < (request.n ?? 1); choice += 1) {
    yield delta(choice, `<${first}>`);
    yield finish(choice, 'length');
  }
};

describe('a whole completion', () => {
  test('has exactly the fields of the OpenAI API', async () => {
    const { response, text } = await answer({ prompt: 'Once' });
    expect(response.status).toBe(200);
    expect(JSON.parse(text)).toEqual({
      id: ID,
      object: 'text_completion',
      created: expect.any(Number),
      model: 'fake-model',
      system_fingerprint: expect.stringMatching(/^fp_[0-9a-f]{12}$/),
      choices: [{ text: 'Hello there!', index: 0, logprobs: null, finish_reason: 'stop', stop_reason: null }],
      usage: {
        prompt_tokens: 10,
        completion_tokens: 3,
        total_tokens: 13,
        prompt_tokens_details: { cached_tokens: 4 },
      },
    });
  });

  test('generates 16 tokens when nothing else is said', async () => {
    const { serving } = await answer({ prompt: 'Once' });
    expect(serving.requests[0]?.sampling).toMatchObject({ maxTokens: 16, logprobs: null });
  });

  test.each([
    ['text', 'Once', [{ kind: 'text', text: 'Once' }]],
    ['a list of texts', ['a', 'b'], ['a', 'b'].map((text) => ({ kind: 'text', text }))],
    ['token ids', [1, 2, 3], [{ kind: 'tokens', tokenIds: [1, 2, 3] }]],
    ['lists of token ids', [[1, 2], [3]], [[1, 2], [3]].map((tokenIds) => ({ kind: 'tokens', tokenIds }))],
  ])('takes %s as its prompt', async (_, prompt, expected) => {
    const { serving } = await answer({ prompt });
    expect(serving.requests.map((request) => request.prompt)).toEqual(expected);
    expect(new Set(serving.requests.map((request) => request.id)).size).toBe(expected.length);
  });

  test('numbers the choices of several prompts in the order of the prompts, and adds up their usage', async () => {
    const { text } = await answer({ prompt: ['a', 'b'], n: 2 }, parrot);
    const { choices, usage } = JSON.parse(text);
    expect(choices.map((choice: { index: number; text: string }) => [choice.index, choice.text])).toEqual([
      [0, '<a>'],
      [1, '<a>'],
      [2, '<b>'],
      [3, '<b>'],
    ]);
    expect(usage).toMatchObject({ prompt_tokens: 20, completion_tokens: 4, total_tokens: 24 });
  });

  test('aborts all prompts when one of them is refused', async () => {
    const serving = fakeServing();
    const { generate } = serving;
    serving.generate = async (request, signal) => {
      if (serving.requests.length === 1) throw new Error('no more');
      return generate(request, signal);
    };
    const response = await quietApp(serving).request('/v1/completions', post({ prompt: ['a', 'b'] }));
    expect(response.status).toBe(500);
    expect(serving.aborted).toEqual([serving.requests[0]?.id]);
  });

  test('returns the best of more choices than are asked for, likeliest tokens first', async () => {
    const means = [-3, -1, -2, -1.5];
    const script: Script = function* (request) {
      for (let choice = 0; choice < (request.n ?? 1); choice++) {
        const said = delta(choice, `${choice}`, 0) as GenerationDelta;
        const logprob = means[choice]! - 0.25;
        yield { ...said, tokens: said.tokens.map((token) => ({ ...token, logprob })) };
        yield finish(choice, 'stop');
      }
    };
    const { serving, text } = await answer({ prompt: ['a', 'b'], best_of: 4, n: 2 }, script);
    expect(serving.requests[0]).toMatchObject({ n: 4, sampling: { logprobs: 0 } });
    const { choices } = JSON.parse(text);
    expect(choices).toMatchObject([
      { index: 0, text: '1', logprobs: null },
      { index: 1, text: '3' },
      { index: 2, text: '1' },
      { index: 3, text: '3' },
    ]);
  });

  test('begins with the prompt when it is to be echoed', async () => {
    const { text } = await answer({ prompt: ['a', 'b'], echo: true, n: 2 }, parrot);
    const texts = JSON.parse(text).choices.map((choice: { text: string }) => choice.text);
    expect(texts).toEqual(['a<a>', 'a<a>', 'b<b>', 'b<b>']);
  });

  test('gives log-probabilities as parallel lists, the chosen token among its alternatives', async () => {
    const { serving, text } = await answer({ prompt: 'x', logprobs: 2 }, replies('ab', '👍', 'c'));
    expect(serving.requests[0]?.sampling.logprobs).toBe(2);
    expect(JSON.parse(text).choices[0].logprobs).toEqual({
      tokens: ['ab', '👍', 'c'],
      token_logprobs: [-0.25, -0.25, -0.25],
      top_logprobs: [
        { ab: -0.25, 'ab?': -1.5 },
        { '👍': -0.25, '👍?': -1.5 },
        { c: -0.25, 'c?': -1.5 },
      ],
      text_offset: [0, 2, 3],
    });
  });

  test('names the chosen token even when no alternatives are wanted', async () => {
    const { text } = await answer({ prompt: 'x', logprobs: 0 }, replies('__proto__'));
    expect(text).toContain('"top_logprobs":[{"__proto__":-0.25}]');
  });
});

describe('a streamed completion', () => {
  test('sends text as it comes, the finish reason last, and [DONE]', async () => {
    const { response, text } = await answer({ prompt: 'x', stream: true });
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const choice = (said: string) => ({ text: said, index: 0, logprobs: null, finish_reason: null });
    const chunks = chunksOf(text);
    expect(chunks[0]).toEqual({
      id: ID,
      object: 'text_completion',
      created: expect.any(Number),
      model: 'fake-model',
      system_fingerprint: expect.stringMatching(/^fp_/),
      choices: [choice('Hello')],
    });
    expect(chunks.flatMap((chunk) => chunk.choices)).toEqual([
      choice('Hello'),
      choice(' there'),
      choice('!'),
      { text: '', index: 0, logprobs: null, finish_reason: 'stop', stop_reason: null },
    ]);
  });

  test('carries offsets on from chunk to chunk', async () => {
    const { text } = await answer({ prompt: 'x', stream: true, logprobs: 1 }, replies('ab', 'c', 'd'));
    const offsets = chunksOf(text).flatMap((chunk) => {
      const [choice] = chunk.choices as { logprobs: { text_offset: number[] } | null }[];
      return choice?.logprobs?.text_offset ?? [];
    });
    expect(offsets).toEqual([0, 2, 3]);
  });

  test('echoes each prompt once for each choice, also when nothing is said', async () => {
    const script: Script = (request) =>
      request.prompt.kind === 'text' && request.prompt.text === 'silent' ? [finish(0, 'stop')] : parrot(request);
    const { text } = await answer({ prompt: ['a', 'silent'], echo: true, stream: true }, script);
    const said = ['', ''];
    for (const chunk of chunksOf(text)) {
      for (const choice of chunk.choices as { index: number; text: string }[]) said[choice.index] += choice.text;
    }
    expect(said).toEqual(['a<a>', 'silent']);
  });

  test('ends with the usage of all prompts when asked', async () => {
    const { text } = await answer(
      { prompt: ['a', 'b', 'c'], stream: true, stream_options: { include_usage: true } },
      parrot,
    );
    expect(chunksOf(text).at(-1)).toMatchObject({
      choices: [],
      usage: { prompt_tokens: 30, completion_tokens: 3, total_tokens: 33 },
    });
  });
});

test('log-probabilities of each prompt are in all of its choices', async () => {
  const { text } = await answer({ prompt: ['a', 'b'], n: 2, prompt_logprobs: 0 });
  const { choices } = JSON.parse(text);
  expect(choices.map((choice: { prompt_logprobs: unknown[] }) => choice.prompt_logprobs.length)).toEqual([2, 2, 2, 2]);
});

describe('the prompt in a completion', () => {
  /** As the fake has it: two tokens, of which the first has no log-probability. */
  const ofPrompt = { tokens: ['p', 'p'], token_logprobs: [null, -0.25], text_offset: [0, 1] };

  test('has log-probabilities where it is echoed, before those of the answer', async () => {
    const { serving, text } = await answer({ prompt: 'pp', echo: true, logprobs: 1 }, replies('ab', 'c'));
    expect(serving.requests[0]).toMatchObject({ promptLogprobs: 1, sampling: { logprobs: 1 } });
    const [choice] = JSON.parse(text).choices;
    expect(choice.text).toBe('ppabc');
    expect(choice.logprobs).toEqual({
      tokens: [...ofPrompt.tokens, 'ab', 'c'],
      token_logprobs: [...ofPrompt.token_logprobs, -0.25, -0.25],
      top_logprobs: [null, { p: -0.25 }, { ab: -0.25 }, { c: -0.25 }],
      text_offset: [...ofPrompt.text_offset, 2, 4],
    });
    expect(choice).not.toHaveProperty('prompt_logprobs');
  });

  test('has them in a stream, too', async () => {
    const { text } = await answer({ prompt: 'pp', echo: true, logprobs: 0, stream: true }, replies('ab'));
    expect(chunksOf(text).flatMap((chunk) => chunk.choices)).toMatchObject([
      { text: 'pp', logprobs: ofPrompt },
      { text: 'ab', logprobs: { tokens: ['ab'], text_offset: [2] } },
      { text: '', logprobs: null, finish_reason: 'stop' },
    ]);
  });

  test('can be all that is answered, as evaluations want it', async () => {
    for (const stream of [false, true]) {
      const body = { prompt: 'pp', echo: true, logprobs: 0, max_tokens: 0, stream };
      const { serving, text } = await answer(body, replies('ab'));
      expect(serving.requests[0]?.sampling.maxTokens).toBe(1);
      const chunks = stream ? chunksOf(text) : [JSON.parse(text)];
      const choices = chunks.flatMap((chunk) => chunk.choices) as { text: string; logprobs: { tokens: string[] } }[];
      expect(choices.map((choice) => choice.text).join('')).toBe('pp');
      expect(choices.flatMap((choice) => choice.logprobs?.tokens ?? [])).toEqual(['p', 'p']);
      expect(choices.at(-1)).toMatchObject({ finish_reason: 'length' });
      if (!stream) expect(JSON.parse(text).usage).toMatchObject({ completion_tokens: 0 });
    }
  });

  test('is echoed as text where it is token ids', async () => {
    const { text } = await answer({ prompt: [104, 105], echo: true }, replies('!'));
    expect(JSON.parse(text).choices[0].text).toBe('hi!');
  });
});

describe('token ids', () => {
  const ids = { prompt_token_ids: new Array(10).fill(112), token_ids: [2, 1] };

  test('are returned on request, without log-probabilities', async () => {
    const { text } = await answer({ prompt: 'x', return_token_ids: true }, replies('ab', 'c'));
    expect(JSON.parse(text).choices[0]).toMatchObject({ ...ids, logprobs: null });
    const stream = await answer({ prompt: 'x', return_token_ids: true, stream: true }, replies('ab', 'c'));
    const choices = chunksOf(stream.text).flatMap((chunk) => chunk.choices) as (typeof ids)[];
    expect(choices.flatMap((choice) => choice.token_ids ?? [])).toEqual(ids.token_ids);
    expect(choices.flatMap((choice) => choice.prompt_token_ids ?? [])).toEqual(ids.prompt_token_ids);
  });

  test('are the names of tokens when that is asked for', async () => {
    const body = { prompt: 'x', logprobs: 2, return_tokens_as_token_ids: true };
    const { text } = await answer(body, replies('ab'));
    expect(JSON.parse(text).choices[0].logprobs).toMatchObject({
      tokens: ['token_id:2'],
      top_logprobs: [{ 'token_id:2': -0.25, 'token_id:3': -1.5 }],
    });
  });
});

test("llama-server's names of parameters are understood", async () => {
  const { serving } = await answer({ prompt: 'x', n_predict: 5, repeat_penalty: 1.5 });
  expect(serving.requests[0]?.sampling).toMatchObject({ maxTokens: 5, repetitionPenalty: 1.5 });
  const unbounded = await answer({ prompt: 'x', n_predict: -1 });
  expect(unbounded.serving.requests[0]?.sampling.maxTokens).toBeUndefined();
});

test('tokens and words that are allowed or forbidden are handed on', async () => {
  const { serving } = await answer({ prompt: 'x', allowed_token_ids: [3, 4], bad_words: ['no'] });
  expect(serving.requests[0]).toMatchObject({ badWords: ['no'], sampling: { allowedTokenIds: [3, 4] } });
});
