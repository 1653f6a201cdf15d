import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createServer, type QuireServer } from '../../src/api/create-server.js';
import { createLogger } from '../../src/telemetry/index.js';
import { defaultModelPath } from '../support/default-model.js';

const CLIENTS = 32;
/** Every fourth client leaves after its first text. */
const leaves = (index: number): boolean => index % 4 === 3;

let server: QuireServer;
let client: OpenAI;
let url: string;

beforeAll(async () => {
  server = createServer({
    model: await defaultModelPath(),
    kvBackend: 'cells',
    threads: 1,
    maxModelLen: 1024,
    maxNumSeqs: 16,
    checkEveryStep: true,
    logger: createLogger({ level: 'warn' }),
  });
  const [running] = await Promise.all([server.listen({ port: 0 }), server.serving.whenReady()]);
  url = running.url;
  client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
});

afterAll(() => server?.close(0));

async function metrics(): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}

async function metric(name: string): Promise<number> {
  return Number(
    (await metrics())
      .split('\n')
      .find((line) => line.startsWith(`${name} `))
      ?.slice(name.length),
  );
}

async function streamChat(index: number) {
  const stream = await client.chat.completions.create({
    model: 'default',
    messages: [
      {
        role: 'system',
        content: 'You answer children, in short and simple sentences, and always politely. '.repeat(4),
      },
      {
        role: 'user',
        content: `What is ${['gravity', 'rain', 'bread', 'music'][index % 4]}? `.repeat(1 + (index % 3)),
      },
    ],
    max_tokens: 8 + (index % 5),
    temperature: index % 2,
    seed: index,
    stream: true,
    stream_options: { include_usage: true },
  });
  const answer = { text: '', finish: '', tokens: 0 };
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    answer.text += choice?.delta.content ?? '';
    answer.finish ||= choice?.finish_reason ?? '';
    answer.tokens = chunk.usage?.completion_tokens ?? answer.tokens;
    if (leaves(index) && answer.text !== '') {
      stream.controller.abort();
      break;
    }
  }
  return answer;
}

describe('a server on llama.cpp’s own KV cells', () => {
  it('says so, and that answers may differ in a crowd', async () => {
    expect(await metrics()).toMatch(/^quire_engine_info\{kv_backend="cells",.*kernel="llama\.cpp"\} 1$/m);
    expect((await client.models.list()).data[0]).toMatchObject({
      batch_invariant: false,
      batch_invariant_reason: "the cells backend computes attention with llama.cpp's kernels",
    });
  });

  it('serves 32 streamed chats with a common system prompt through 16 slots, though some clients leave', async () => {
    const answers = await Promise.all(Array.from({ length: CLIENTS }, (_, index) => streamChat(index)));
    for (const [index, { text, finish, tokens }] of answers.entries()) {
      expect(text, `chat ${index}`).not.toBe('');
      if (leaves(index)) continue;
      expect(finish, `chat ${index}`).toMatch(/^(stop|length)$/);
      expect(tokens, `chat ${index}`).toBeLessThanOrEqual(8 + (index % 5));
    }
    await vi.waitFor(async () => expect(await metric('quire_num_requests_running')).toBe(0), { timeout: 30_000 });
    expect(await metric('quire_kv_blocks{state="used"}')).toBe(0);
    // The prompt's common part was computed once, or nearly so.
    const [asked, found] = [
      await metric('quire_prefix_cache_queries_total'),
      await metric('quire_prefix_cache_hits_total'),
    ];
    expect(found / asked).toBeGreaterThan(0.5);
  });
});
