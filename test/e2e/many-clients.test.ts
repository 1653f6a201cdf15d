import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServer, type QuireServer } from '../../src/api/create-server.js';
import { createLogger } from '../../src/telemetry/index.js';
import { defaultModelPath } from '../support/default-model.js';

const SLOTS = 16;

let server: QuireServer;
let client: OpenAI;
let url: string;

beforeAll(async () => {
  server = createServer({
    model: await defaultModelPath(),
    maxModelLen: 4096,
    maxNumSeqs: SLOTS,
    checkEveryStep: true,
    logger: createLogger({ level: 'warn' }),
  });
  const [running] = await Promise.all([server.listen({ port: 0 }), server.serving.whenReady()]);
  url = running.url;
  client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
});

afterAll(() => server?.close(0));

const topics = ['gravity', 'rain', 'bread', 'music', 'the sea', 'a computer', 'a river', 'winter'];

async function streamChat(index: number) {
  const question = `What is ${topics[index % topics.length]}? `.repeat(1 + (index % 5));
  const stream = await client.chat.completions.create({
    model: 'default',
    messages: [{ role: 'user', content: question }],
    max_tokens: 4 + ((index * 7) % 37),
    temperature: index % 2 === 0 ? 0 : 1,
    seed: index,
    stream: true,
    stream_options: { include_usage: true },
  });
  const answer = { text: '', chunks: 0, finish: '', tokens: 0 };
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    if (choice?.delta.content) answer.chunks++;
    answer.text += choice?.delta.content ?? '';
    answer.finish ||= choice?.finish_reason ?? '';
    answer.tokens = chunk.usage?.completion_tokens ?? answer.tokens;
  }
  return answer;
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split('\n').find((line) => line.startsWith(`${name} `));
  if (line === undefined) throw new Error(`no metric ${name} in:\n${text}`);
  return Number(line.slice(name.length + 1));
}

describe('many clients at once', () => {
  it('get 64 streamed chats of mixed lengths through 16 slots, each with the text that it has alone', async () => {
    const crowd = await Promise.all(Array.from({ length: 64 }, (_, i) => streamChat(i)));
    for (const [i, { finish, tokens, chunks }] of crowd.entries()) {
      expect(['stop', 'length'], `chat ${i}`).toContain(finish);
      expect(tokens).toBeGreaterThan(0);
      expect(chunks).toBeGreaterThan(0);
    }
    for (const i of [0, 13, 26, 39, 52, 63]) expect((await streamChat(i)).text, `chat ${i}`).toBe(crowd[i]?.text);
  });

  it('share a prefix of 1,000 tokens: it is computed once, and usage and metrics say so', async () => {
    const prefix = Array.from({ length: 1000 }, (_, i) => 300 + ((i * 7919) % 40_000));
    const before = await metric('quire_prompt_tokens_total');
    const answers = await Promise.all(
      Array.from({ length: 32 }, (_, i) =>
        client.completions.create({
          model: 'default',
          prompt: [...prefix, 100 + i, 200 + i],
          max_tokens: 4,
          temperature: 0,
        }),
      ),
    );
    const cached = answers.map(({ usage }) => usage?.prompt_tokens_details?.cached_tokens);
    expect(cached.filter((tokens) => tokens === 0)).toHaveLength(1);
    expect(cached.filter((tokens) => tokens === 992)).toHaveLength(31);
    expect((await metric('quire_prompt_tokens_total')) - before).toBe(1002 + 31 * 10);
    expect(await metric('quire_kv_blocks{state="used"}')).toBe(0);
  });

  it('leave nothing behind when they go in the middle of an answer', async () => {
    const leaving = Array.from({ length: 8 }, async (_, i) => {
      const stream = await client.chat.completions.create({
        model: 'default',
        messages: [{ role: 'user', content: `Tell me a long story about ${topics[i]}.` }],
        max_tokens: 2000,
        stream: true,
      });
      for await (const _chunk of stream) break;
    });
    await Promise.all(leaving);
    while ((await metric('quire_num_requests_running')) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await metric('quire_kv_blocks{state="used"}')).toBe(0);
  });
});
