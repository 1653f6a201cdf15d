import Anthropic, { APIError, AuthenticationError, BadRequestError, NotFoundError } from '@anthropic-ai/sdk';
import { Ollama } from 'ollama';
import { afterEach, describe, expect, test } from 'vitest';
import { listen, type RunningServer } from '../../src/api/index.js';
import type { GenerationEvent } from '../../src/serving/index.js';
import { ended, everything, said } from '../support/answers.js';
import { quietApp } from '../support/api.js';
import { type FakeServing, fakeServing, type Script } from '../support/fake-serving.js';

/** The clients that people use, over HTTP. */

let running: RunningServer | undefined;
let serving: FakeServing;

afterEach(() => running?.close(0));

async function serve(script?: Script | readonly GenerationEvent[], apiKeys: string[] = []): Promise<string> {
  serving = fakeServing(typeof script === 'object' ? () => script : script);
  running = await listen(quietApp(serving, { apiKeys }), { port: 0 });
  return running.url;
}

const MESSAGES = [{ role: 'user' as const, content: 'Weather?' }];

describe('@anthropic-ai/sdk', () => {
  const anthropic = async (...args: Parameters<typeof serve>) =>
    new Anthropic({ baseURL: await serve(...args), apiKey: 'k', maxRetries: 0 });
  const request = { model: 'fake-model', max_tokens: 64, messages: MESSAGES };

  test('creates a message, with the key that it sends', async () => {
    const client = await anthropic(undefined, ['k']);
    const message = await client.messages.create(request);
    expect(message.content).toEqual([{ type: 'text', text: 'Hello there!' }]);
    expect(message.usage.cache_read_input_tokens).toBe(4);
    expect(message._request_id).toMatch(/^[0-9a-f-]{36}$/);
  });

  test('streams what it would get whole', async () => {
    const client = await anthropic(everything);
    const whole = await client.messages.create(request);
    const stream = client.messages.stream(request);
    const heard: string[] = [];
    stream.on('text', (text) => heard.push(text));
    stream.on('thinking', (thinking) => heard.push(thinking));
    stream.on('contentBlock', ({ type }) => heard.push(type));
    const streamed = await stream.finalMessage();
    expect(streamed.content).toEqual(whole.content);
    expect(streamed.content).toMatchObject([
      { type: 'thinking', thinking: 'Hm, weather.' },
      { type: 'text', text: 'Let me look.' },
      { type: 'tool_use', name: 'weather', input: { city: 'Köln' } },
      { type: 'tool_use', name: 'time', input: {} },
    ]);
    expect([streamed.stop_reason, streamed.usage]).toEqual([whole.stop_reason, whole.usage]);
    expect(heard).toEqual(['Hm, ', 'weather.', 'thinking', 'Let me', ' look.', 'text', 'tool_use', 'tool_use']);
  });

  test('counts tokens', async () => {
    const client = await anthropic();
    const { input_tokens } = await client.messages.countTokens({ model: 'fake-model', messages: MESSAGES });
    expect(input_tokens).toBeGreaterThan(0);
  });

  test('goes on after a tool', async () => {
    const client = await anthropic();
    const { content } = await client.messages.create({
      ...request,
      tools: [{ name: 'weather', input_schema: { type: 'object', properties: { city: { type: 'string' } } } }],
      messages: [
        ...MESSAGES,
        { role: 'assistant', content: [{ type: 'tool_use', id: 'c', name: 'weather', input: { city: 'Köln' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c', content: 'rain' }] },
      ],
    });
    expect(content).toHaveLength(1);
    expect(serving.requests[0]?.prompt).toMatchObject({ messages: [{}, {}, { role: 'tool', content: 'rain' }] });
  });

  test('understands errors, whole and in a stream', async () => {
    const client = await anthropic([said({ text: 'half' }), ended('error')], ['k']);
    await expect(client.messages.create({ ...request, model: 'claude' })).rejects.toThrow(NotFoundError);
    await expect(client.messages.create({ ...request, max_tokens: 0 })).rejects.toThrow(BadRequestError);
    const stranger = new Anthropic({ baseURL: client.baseURL, apiKey: 'l', maxRetries: 0 });
    await expect(stranger.messages.create(request)).rejects.toThrow(AuthenticationError);
    await expect(client.messages.stream(request).finalMessage()).rejects.toThrow(APIError);
  });
});

describe('ollama', () => {
  const ollama = async (...args: Parameters<typeof serve>) => new Ollama({ host: await serve(...args) });

  test('chats, whole and streamed', async () => {
    const client = await ollama(everything);
    const whole = await client.chat({ model: 'fake-model', messages: MESSAGES });
    expect(whole.message).toMatchObject({
      content: 'Let me look.',
      thinking: 'Hm, weather.',
      tool_calls: [{ function: { name: 'weather', arguments: { city: 'Köln' } } }, { function: { name: 'time' } }],
    });
    const streamed = { role: 'assistant', content: '', thinking: '', tool_calls: [] as unknown[] };
    let last: { done: boolean; eval_count?: number } | undefined;
    for await (const part of await client.chat({ model: 'fake-model', messages: MESSAGES, stream: true })) {
      streamed.content += part.message.content;
      streamed.thinking += part.message.thinking ?? '';
      streamed.tool_calls.push(...(part.message.tool_calls ?? []));
      last = part;
    }
    expect(streamed).toEqual(whole.message);
    expect(last).toMatchObject({ done: true, eval_count: whole.eval_count });
  });

  test('generates, and lists and shows models', async () => {
    const client = await ollama();
    expect((await client.generate({ model: 'fake-model', prompt: 'Hi' })).response).toBe('Hello there!');
    let text = '';
    for await (const { response } of await client.generate({ model: 'fake-model', prompt: 'Hi', stream: true })) {
      text += response;
    }
    expect(text).toBe('Hello there!');
    const { models } = await client.list();
    expect(models[0]?.name).toBe('fake-model:latest');
    expect((await client.show({ model: models[0]!.name })).details.format).toBe('gguf');
    expect((await client.ps()).models).toHaveLength(1);
    expect((await client.embed({ model: 'fake-model', input: ['a', 'b'] })).embeddings).toHaveLength(2);
  });

  test('understands errors, whole and in a stream', async () => {
    const client = await ollama([said({ text: 'half' }), ended('error')]);
    await expect(client.chat({ model: 'nobody', messages: MESSAGES })).rejects.toThrow('nobody');
    const stream = await client.generate({ model: 'fake-model', prompt: 'Hi', stream: true });
    const read = async () => {
      for await (const part of stream) expect(part.response).toBe('half');
    };
    await expect(read()).rejects.toThrow('Send the request again');
  });
});
