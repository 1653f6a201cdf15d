import { describe, expect, test } from 'vitest';
import { createApp } from '../../src/api/index.js';
import { createServing } from '../../src/serving/index.js';
import { createLogger } from '../../src/telemetry/index.js';
import { post } from '../support/api.js';
import { createFakeEngine, type FakeEngineOptions, fakeServingParts, fakeVector } from '../support/fake-engine.js';

/** The API over the real serving, in front of an engine whose vectors count letters. */
async function open(options: FakeEngineOptions = {}) {
  const engine = createFakeEngine(options);
  const serving = createServing({}, fakeServingParts(engine));
  await serving.whenReady();
  const app = createApp(serving, { logger: createLogger({ level: 'silent' }) });
  const ask = async (path: string, body: object) => {
    const response = await app.request(path, post(body));
    return { status: response.status, body: JSON.parse(await response.text()) };
  };
  return { engine, serving, app, ask };
}

const counts = (text: string) => fakeVector(Buffer.from(text));

function unit(vector: Float32Array): number[] {
  const length = Math.hypot(...vector);
  return [...vector].map((value) => Math.fround(value / length));
}

describe('embeddings', () => {
  test('count as choices in the metrics', async () => {
    const { app, ask } = await open();
    await ask('/v1/embeddings', { input: ['ab', 'c'] });
    await ask('/v1/score', { text_1: 'ab', text_2: 'c' });
    await ask('/v1/embeddings', { input: [] });
    const metrics = await (await app.request('/metrics')).text();
    expect(metrics).toContain('quire_request_success_total{finished_reason="stop"} 4');
    expect(metrics).toContain('quire_e2e_request_latency_seconds_count 2');
  });

  test("have exactly OpenAI's fields", async () => {
    const { ask } = await open();
    expect(await ask('/v1/embeddings', { input: 'abcd', model: 'fake', user: 'me' })).toEqual({
      status: 200,
      body: {
        object: 'list',
        data: [{ object: 'embedding', index: 0, embedding: [0.5, 0.5, 0.5, 0.5] }],
        model: 'fake',
        usage: { prompt_tokens: 4, total_tokens: 4 },
      },
    });
  });

  test.each([
    ['a text', 'ab', ['ab']],
    ['texts', ['ab', 'c', 'abc'], ['ab', 'c', 'abc']],
    ['token ids', [97, 98], ['ab']],
    ['lists of token ids', [[97], [98, 99]], ['a', 'bc']],
  ])('are computed of %s, in order', async (_, input, texts) => {
    const { ask, engine } = await open();
    const { body } = await ask('/v1/embeddings', { input });
    expect(body.data).toEqual(
      texts.map((text, index) => ({ object: 'embedding', index, embedding: unit(counts(text)) })),
    );
    expect(body.usage.prompt_tokens).toBe(texts.join('').length);
    expect(engine.embedRequests.map(({ pooling }) => pooling)).toEqual(texts.map(() => 'last'));
  });

  test('come as base64 of little-endian numbers, shortened and not normalised, as asked', async () => {
    const { ask, engine } = await open();
    const asked = { input: 'aab', encoding_format: 'base64', normalize: false, pooling: 'mean', priority: -2 };
    const { body } = await ask('/v1/embeddings', asked);
    const bytes = Buffer.from(body.data[0].embedding, 'base64');
    expect([0, 1, 2, 3].map((i) => bytes.readFloatLE(4 * i))).toEqual([0, 2, 1, 0]);
    expect(engine.embedRequests[0]).toMatchObject({ pooling: 'mean', priority: -2 });
    // What is left has length 1 again.
    const short = await ask('/v1/embeddings', { input: 'aaaabbbc', dimensions: 3 });
    expect(short.body.data[0].embedding).toEqual([0, 0.8, 0.6].map(Math.fround));
  });

  test('of vectors without length stay what they are', async () => {
    const { ask } = await open();
    const { body } = await ask('/v1/embeddings', { input: 'a', dimensions: 1 });
    expect(body.data[0].embedding).toEqual([0]);
  });

  test('leave out what is too long, when asked', async () => {
    const { ask, engine } = await open({ info: { maxModelLen: 8 } });
    await ask('/v1/embeddings', { input: 'abcdefghijkl', truncate_prompt_tokens: -1 });
    await ask('/v1/embeddings', { input: 'abc', truncate_prompt_tokens: 2 });
    await ask('/v1/embeddings', { input: 'abc</s>', truncate_prompt_tokens: 3 });
    const prompts = engine.embedRequests.map(({ promptTokenIds }) => [...promptTokenIds]);
    expect(prompts).toEqual([[...Buffer.from('abcdefgh')], [97, 98], [97, 98, 257]]);
  });

  test.each([
    [{}, 'input', /required/],
    [{ input: [] }, 'input', /list/],
    [{ input: '' }, 'input', /no tokens/],
    [{ input: ['a', ''] }, 'input[1]', /no tokens/],
    [{ input: [['a']] }, 'input', /list/],
    [{ input: ['ok', 'far too long'] }, 'input[1]', /maximum context length is 8 tokens.*12 tokens/],
    [{ input: [999] }, 'input', /not in the vocabulary/],
    [{ input: 'a', encoding_format: 'int8' }, 'encoding_format', /./],
    [{ input: 'a', dimensions: 5 }, 'dimensions', /from 1 to 4/],
    [{ input: 'a', dimensions: 0 }, 'dimensions', />= 1/],
    [{ input: 'a', truncate_prompt_tokens: 9 }, 'truncate_prompt_tokens', /from 1 to 8/],
    [{ input: 'a', truncate_prompt_tokens: 0 }, 'truncate_prompt_tokens', /from 1 to 8/],
    [{ input: 'a', pooling: 'cls' }, 'pooling', /./],
    [{ input: 'a', messages: [] }, 'messages', /not supported/],
  ])('refuse %j, naming the field', async (body, param, message) => {
    const { ask, engine } = await open({ info: { maxModelLen: 8 } });
    const answer = await ask('/v1/embeddings', body);
    expect(answer.status).toBe(400);
    expect(answer.body.error).toMatchObject({
      type: 'invalid_request_error',
      param,
      message: expect.stringMatching(message),
    });
    expect(engine.embedRequests).toEqual([]);
  });

  test('of a model that is not there', async () => {
    const { ask } = await open();
    expect((await ask('/v1/embeddings', { input: 'a', model: 'gpt-4' })).status).toBe(404);
  });

  test('end with the client, or with the engine', async () => {
    const { app, engine, ask } = await open({ pace: 'manual' });
    const left = new AbortController();
    const gone = app.request('/v1/embeddings', { ...post({ input: ['a', 'b'] }), signal: left.signal });
    await expect.poll(() => engine.embedRequests.length).toBe(2);
    left.abort();
    expect((await gone).status).toBe(503);

    const cut = ask('/v1/embeddings', { input: 'a' });
    await expect.poll(() => engine.embedRequests.length).toBe(3);
    engine.die({ reason: 'it fell over' });
    expect((await cut).status).toBe(503);
  });
});

/** Cosine of two texts' letters. */
function cosine(a: string, b: string): number {
  const [x, y] = [unit(counts(a)), unit(counts(b))];
  return x.reduce((sum, value, i) => sum + value * y[i]!, 0);
}

describe.each(['/v1/rerank', '/rerank', '/v2/rerank'])('%s', (path) => {
  test('orders documents by their likeness to the query', async () => {
    const { ask } = await open();
    const documents = ['d', { text: 'ab' }, 'aab'];
    const { status, body } = await ask(path, { query: 'ba', documents });
    expect(status).toBe(200);
    expect(body).toEqual({
      id: expect.stringMatching(/^rerank-[0-9a-f]{32}$/),
      object: 'list',
      model: 'fake',
      results: [
        { index: 1, relevance_score: expect.closeTo(1, 6), document: { text: 'ab' } },
        { index: 2, relevance_score: expect.closeTo(cosine('ba', 'aab'), 6), document: { text: 'aab' } },
        { index: 0, relevance_score: 0, document: { text: 'd' } },
      ],
      usage: { prompt_tokens: 8, total_tokens: 8 },
    });
    const best = await ask(path, { query: 'ba', documents, top_n: 1, return_documents: false });
    expect(best.body.results).toEqual([{ index: 1, relevance_score: expect.closeTo(1, 6) }]);
  });
});

describe('rerank', () => {
  test('answers clients of Text Embeddings Inference', async () => {
    const { ask } = await open();
    const { body } = await ask('/rerank', { query: 'a', texts: ['b', 'aaa'], return_text: true });
    expect(body).toEqual([
      { index: 1, score: 1, text: 'aaa' },
      { index: 0, score: 0, text: 'b' },
    ]);
  });

  test.each([
    [{ documents: ['a'] }, 'query'],
    [{ query: 'a' }, 'documents'],
    [{ query: 'a', documents: [] }, 'documents'],
    [{ query: 'a', documents: ['a'], texts: ['a'] }, 'documents'],
    [{ query: 'a', documents: [1] }, 'documents[0]'],
    [{ query: '', documents: ['a'] }, 'query'],
    [{ query: 'a', documents: ['b', ''] }, 'documents[1]'],
    [{ query: 'a', documents: ['a'], top_n: -1 }, 'top_n'],
    [{ query: 'a', documents: ['a'], max_tokens_per_doc: 9 }, 'max_tokens_per_doc'],
  ])('refuses %j, naming the field', async (body, param) => {
    const { ask } = await open();
    const answer = await ask('/v1/rerank', body);
    expect([answer.status, answer.body.error.param]).toEqual([400, param]);
  });
});

describe.each(['/v1/score', '/score'])('%s', (path) => {
  test('compares one text with many, or pairs', async () => {
    const { ask } = await open();
    const one = await ask(path, { text_1: 'ab', text_2: ['ba', 'cd'] });
    expect(one).toEqual({
      status: 200,
      body: {
        id: expect.stringMatching(/^score-[0-9a-f]{32}$/),
        object: 'list',
        created: expect.any(Number),
        model: 'fake',
        data: [
          { index: 0, object: 'score', score: expect.closeTo(1, 6) },
          { index: 1, object: 'score', score: 0 },
        ],
        usage: { prompt_tokens: 6, total_tokens: 6 },
      },
    });
    const pairs = await ask(path, { text_1: ['a', 'b'], text_2: ['a', 'a'] });
    expect(pairs.body.data.map(({ score }: { score: number }) => score)).toEqual([1, 0]);
    expect((await ask(path, { text_1: 'a', text_2: 'a' })).body.data).toHaveLength(1);
  });

  test('refuses lists that do not fit together', async () => {
    const { ask } = await open();
    const answer = await ask(path, { text_1: ['a', 'b'], text_2: ['a', 'b', 'c'] });
    expect([answer.status, answer.body.error.param]).toEqual([400, 'text_1']);
  });
});
