import OpenAI, { BadRequestError } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServer, type QuireServer } from '../../src/api/create-server.js';
import { createLogger } from '../../src/telemetry/index.js';
import { defaultModelPath } from '../support/default-model.js';

const MODEL = 'default-model';
const TEXTS = ['The cat sat on the mat.', 'A kitten is lying on the rug.', 'Stock prices fell sharply on Monday.'];

let server: QuireServer;
let client: OpenAI;
let url: string;

beforeAll(async () => {
  server = createServer({
    model: await defaultModelPath(),
    servedModelName: [MODEL],
    maxModelLen: 512,
    logger: createLogger({ level: 'warn' }),
  });
  const [listening] = await Promise.all([server.listen({ port: 0 }), server.serving.whenReady()]);
  url = listening.url;
  client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
});

afterAll(() => server?.close(0));

async function post(path: string, body: object) {
  const headers = { 'Content-Type': 'application/json' };
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) });
  expect(response.status).toBe(200);
  return JSON.parse(await response.text());
}

const dot = (a: number[], b: number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

describe("embeddings through OpenAI's client", () => {
  test('are vectors of length 1, one for each text, the same ones every time', async () => {
    // The client asks for base64 by itself, and for numbers when told so.
    const whole = await client.embeddings.create({ model: MODEL, input: TEXTS });
    const plain = await client.embeddings.create({ model: MODEL, input: TEXTS, encoding_format: 'float' });
    expect(whole.data.map(({ index }) => index)).toEqual([0, 1, 2]);
    for (const [i, { embedding }] of whole.data.entries()) {
      expect(embedding).toHaveLength(576);
      expect(dot(embedding, embedding)).toBeCloseTo(1, 5);
      expect(embedding).toEqual(plain.data[i]?.embedding);
      const single = await client.embeddings.create({ model: MODEL, input: TEXTS[i]! });
      expect(single.data[0]?.embedding).toEqual(embedding);
    }
    expect(whole.usage.prompt_tokens).toBeGreaterThan(15);
    expect(whole.usage.total_tokens).toBe(whole.usage.prompt_tokens);
  });

  test('can be shortened', async () => {
    const { data } = await client.embeddings.create({ model: MODEL, input: TEXTS[0]!, dimensions: 64 });
    expect(data[0]?.embedding).toHaveLength(64);
    expect(dot(data[0]!.embedding, data[0]!.embedding)).toBeCloseTo(1, 5);
    const tooLong = client.embeddings.create({ model: MODEL, input: 'a', dimensions: 577 });
    await expect(tooLong).rejects.toBeInstanceOf(BadRequestError);
  });

  test('are computed beside answers, without changing them', async () => {
    const ask = () => client.completions.create({ model: MODEL, prompt: 'The sun is', max_tokens: 40, temperature: 0 });
    const alone = await ask();
    const [answer, ...lists] = await Promise.all([
      ask(),
      ...Array.from({ length: 6 }, () => client.embeddings.create({ model: MODEL, input: TEXTS })),
    ]);
    expect(answer.choices[0]?.text).toBe(alone.choices[0]?.text);
    for (const list of lists) expect(list.data).toEqual(lists[0]?.data);
  });

  test('of texts that are too long are refused, or computed of their beginning', async () => {
    const input = 'word '.repeat(600);
    const refused = await client.embeddings.create({ model: MODEL, input }).catch((error: unknown) => error);
    expect(refused).toMatchObject({ status: 400, code: 'context_length_exceeded', param: 'input' });
    const { usage } = await post('/v1/embeddings', { input, truncate_prompt_tokens: -1 });
    expect(usage.prompt_tokens).toBe(512);
  });
});

describe('rerank and score', () => {
  test('put the document that says the same first', async () => {
    const body = { query: TEXTS[0], documents: [TEXTS[2], TEXTS[1], TEXTS[0]], pooling: 'mean' };
    const { results } = await post('/v1/rerank', body);
    expect(results[0]).toEqual({ index: 2, relevance_score: expect.closeTo(1, 5), document: { text: TEXTS[0] } });
    expect(results[0].relevance_score).toBeGreaterThan(results[1].relevance_score);
    const { data } = await post('/v1/score', { text_1: TEXTS[0], text_2: [TEXTS[0], TEXTS[1]], pooling: 'mean' });
    expect(data[0].score).toBeCloseTo(1, 5);
    expect(data[1].score).toBe(results.find(({ index }: { index: number }) => index === 1).relevance_score);
  });
});

describe('tokens', () => {
  test('of a prompt are those that it is charged for, and give the text back', async () => {
    const { tokens, count } = await post('/tokenize', { prompt: TEXTS[0] });
    const { usage } = await client.completions.create({ model: MODEL, prompt: TEXTS[0]!, max_tokens: 1 });
    expect(usage?.prompt_tokens).toBe(count);
    expect((await post('/detokenize', { tokens })).prompt).toBe(TEXTS[0]);
  });

  test('of a chat too', async () => {
    const messages = [{ role: 'user' as const, content: 'Hi' }];
    const { count } = await post('/tokenize', { messages });
    const { usage } = await client.chat.completions.create({ model: MODEL, messages, max_tokens: 1 });
    expect(usage?.prompt_tokens).toBe(count);
    expect((await post('/apply-template', { messages })).prompt).toMatch(/user\nHi(.|\n)*assistant\n$/);
  });
});
