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
