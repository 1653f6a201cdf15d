import Anthropic from '@anthropic-ai/sdk';
import { Ollama } from 'ollama';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServer, type QuireServer } from '../../src/api/create-server.js';
import { createLogger } from '../../src/telemetry/index.js';
import { post } from '../support/api.js';
import { defaultModelPath } from '../support/default-model.js';

const MODEL = 'default-model';
const API_KEY = 'sk-test';
const MESSAGES = [{ role: 'user' as const, content: 'What is gravity?' }];
const PROMPT = 'The capital of France is';

let server: QuireServer;
let url: string;

beforeAll(async () => {
  server = createServer({
    model: await defaultModelPath(),
    servedModelName: [MODEL],
    maxModelLen: 2048,
    apiKeys: [API_KEY],
    logger: createLogger({ level: 'warn' }),
  });
  const [running] = await Promise.all([server.listen({ port: 0 }), server.serving.whenReady()]);
  url = running.url;
});

afterAll(() => server?.close(0));

async function ask(path: string, body: object): Promise<string> {
  const response = await fetch(url + path, post(body, { Authorization: `Bearer ${API_KEY}` }));
  const text = await response.text();
  expect(response.status, text).toBe(200);
  return text;
}

/** The data of events, of which some protocols send a last one that is not JSON. */
function dataOf(stream: string) {
  return stream
    .split('\n\n')
    .filter((event) => event.startsWith('data: {'))
    .map((event) => JSON.parse(event.slice('data: '.length)));
}

describe('@anthropic-ai/sdk', () => {
  // Greedy by another name: newer models of Anthropic's have no temperature, and their client's types neither.
  const request = { model: MODEL, max_tokens: 24, messages: MESSAGES, system: 'You are brief.', top_k: 1 };

  test('gets the same whole and streamed, for the tokens that it counts', async () => {
    const client = new Anthropic({ baseURL: url, apiKey: API_KEY, maxRetries: 0 });
    const whole = await client.messages.create(request);
    expect(whole.content).toEqual([{ type: 'text', text: expect.stringMatching(/gravity/i) }]);
    expect(whole.stop_reason).toBe('max_tokens');
    expect(whole.usage.output_tokens).toBe(24);

    const { max_tokens: _, top_k: __, ...counted } = request;
    const { input_tokens } = await client.messages.countTokens(counted);
    const { usage } = whole;
    expect(usage.input_tokens + (usage.cache_read_input_tokens ?? 0)).toBe(input_tokens);

    const streamed = await client.messages.stream(request).finalMessage();
    expect(streamed.content).toEqual(whole.content);
    expect(streamed.usage.cache_read_input_tokens).toBeGreaterThan(0);
  });

  test('has its answer end before a stop sequence, and goes on with what it began', async () => {
    const client = new Anthropic({ baseURL: url, apiKey: API_KEY, maxRetries: 0 });
    const stopped = await client.messages.create({ ...request, max_tokens: 100, stop_sequences: ['force'] });
    expect(stopped).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: 'force' });
    const begun = [...MESSAGES, { role: 'assistant' as const, content: 'Gravity is the' }];
    const { content } = await client.messages.create({ ...request, messages: begun });
    expect(content).toEqual([{ type: 'text', text: expect.stringMatching(/^ /) }]);
  });
});

describe('ollama', () => {
  const options = { temperature: 0, num_predict: 24 };

  test('gets the same whole and streamed', async () => {
    const client = new Ollama({ host: url, headers: { Authorization: `Bearer ${API_KEY}` } });
    const whole = await client.chat({ model: MODEL, messages: MESSAGES, options });
    expect(whole.message.content).toMatch(/gravity/i);
    expect(whole).toMatchObject({ done_reason: 'length', eval_count: 24 });
    expect(whole.total_duration).toBeGreaterThan(whole.eval_duration);
    let streamed = '';
    for await (const part of await client.chat({ model: MODEL, messages: MESSAGES, options, stream: true })) {
      streamed += part.message.content;
    }
    expect(streamed).toBe(whole.message.content);
    const generated = await client.generate({ model: MODEL, prompt: MESSAGES[0]!.content, options });
    expect(generated.response).toBe(whole.message.content);
  });
});

test('a prompt has the same greedy answer in every protocol', async () => {
  const n = 12;
  const greedy = { temperature: 0, max_tokens: n };
  const completion = JSON.parse(await ask('/v1/completions', { model: MODEL, prompt: PROMPT, ...greedy }));
  const expected: string = completion.choices[0].text;
  expect(expected).toContain('Paris');

  const raw = { model: MODEL, prompt: PROMPT, raw: true, stream: false, options: { temperature: 0, num_predict: n } };
  expect(JSON.parse(await ask('/api/generate', raw)).response).toBe(expected);

  const llama = { prompt: PROMPT, n_predict: n, temperature: 0, return_tokens: true };
  const whole = JSON.parse(await ask('/completion', llama));
  expect(whole).toMatchObject({ content: expected, stop_type: 'limit', tokens_predicted: n });
  expect(whole.tokens).toHaveLength(n);
  const pieces = dataOf(await ask('/completion', { ...llama, stream: true }));
  expect(pieces.map(({ content }) => content).join('')).toBe(expected);
  expect(pieces.flatMap(({ tokens }) => tokens)).toEqual(whole.tokens);

  const tgi = { inputs: PROMPT, parameters: { max_new_tokens: n, details: true } };
  const { generated_text, details } = JSON.parse(await ask('/generate', tgi));
  expect([generated_text, details.finish_reason, details.generated_tokens]).toEqual([expected, 'length', n]);
  expect(details.tokens.map(({ id }: { id: number }) => id)).toEqual(whole.tokens);
  const events = dataOf(await ask('/generate_stream', tgi));
  expect(events.map(({ token }) => token)).toEqual(details.tokens);
  expect(events.map(({ token }) => token.text).join('')).toBe(expected);

  const inference = { text_input: PROMPT, parameters: greedy };
  expect(JSON.parse(await ask(`/v2/models/${MODEL}/generate`, inference)).text_output).toBe(expected);

  const invoked = JSON.parse(await ask('/invocations', { prompt: PROMPT, ...greedy }));
  expect(invoked.choices[0].text).toBe(expected);
});

test('answers have the form that is asked for, under each protocol’s names', async () => {
  const schema = {
    type: 'object',
    properties: { name: { type: 'string', maxLength: 20 }, age: { type: 'integer', minimum: 0, maximum: 150 } },
    required: ['name', 'age'],
    additionalProperties: false,
  };
  const matches = (text: string): void => {
    expect(JSON.parse(text)).toEqual({ name: expect.any(String), age: expect.any(Number) });
  };
  const messages = [{ role: 'user', content: 'Describe a person in JSON.' }];
  const anthropic = { max_tokens: 200, messages, output_config: { format: { type: 'json_schema', schema } } };
  matches(JSON.parse(await ask('/v1/messages', anthropic)).content[0].text);
  const ollama = { model: MODEL, messages, format: schema, stream: false, options: { seed: 1 } };
  matches(JSON.parse(await ask('/api/chat', ollama)).message.content);
  const llama = { prompt: PROMPT, json_schema: schema, seed: 1, n_predict: 200 };
  matches(JSON.parse(await ask('/completion', llama)).content);
  const tgi = { inputs: PROMPT, parameters: { grammar: { type: 'regex', value: '[a-c]{3}-[0-9]{2}' } } };
  expect(JSON.parse(await ask('/generate', tgi)).generated_text).toMatch(/^[a-c]{3}-\d{2}$/);
  const gbnf = { prompt: PROMPT, grammar: 'root ::= "yes" | "no"' };
  expect(JSON.parse(await ask('/completion', gbnf)).content).toMatch(/^(yes|no)$/);
});

test('a tool that has to be called is called', async () => {
  const client = new Anthropic({ baseURL: url, apiKey: API_KEY, maxRetries: 0 });
  const request = {
    model: MODEL,
    max_tokens: 200,
    top_k: 1,
    messages: [{ role: 'user' as const, content: 'What is the weather in Paris?' }],
    tools: [
      {
        name: 'get_weather',
        input_schema: {
          type: 'object' as const,
          properties: { city: { type: 'string', enum: ['Paris', 'Rome'] } },
          required: ['city'],
        },
      },
    ],
    tool_choice: { type: 'tool' as const, name: 'get_weather' },
  };
  const whole = await client.messages.create(request);
  expect(whole.stop_reason).toBe('tool_use');
  const call = { type: 'tool_use', name: 'get_weather', input: { city: expect.stringMatching(/^(Paris|Rome)$/) } };
  expect(whole.content.at(-1)).toMatchObject(call);
  const streamed = await client.messages.stream(request).finalMessage();
  const withoutIds = (content: readonly object[]) => content.map((block) => ({ ...block, id: '' }));
  expect(withoutIds(streamed.content)).toEqual(withoutIds(whole.content));
});
