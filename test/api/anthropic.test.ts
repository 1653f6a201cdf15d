import { describe, expect, test } from 'vitest';
import type { GenerationEvent } from '../../src/serving/index.js';
import { ended, everything, said } from '../support/answers.js';
import { post, quietApp } from '../support/api.js';
import { fakeServing, type Script } from '../support/fake-serving.js';

const URL = '/v1/messages';
const ID = expect.stringMatching(/^msg_[0-9a-f]{32}$/);

const request = (extra: object = {}) => ({
  model: 'fake-model',
  max_tokens: 64,
  messages: [{ role: 'user', content: 'Hi' }],
  ...extra,
});

async function answer(body: object, script?: Script | readonly GenerationEvent[]) {
  const serving = fakeServing(typeof script === 'object' ? () => script : script);
  const response = await quietApp(serving).request(URL, post(body));
  return { serving, response, text: await response.text() };
}

interface WireEvent {
  type: string;
  index: number;
  content_block: Record<string, unknown>;
  delta: Record<string, string>;
  [field: string]: unknown;
}

function eventsOf(stream: string): WireEvent[] {
  const events = stream.split('\n\n');
  expect(events.pop()).toBe('');
  return events.map((event) => {
    const [, name, json] = /^event: (\w+)\ndata: (.+)$/.exec(event) ?? [];
    const data = JSON.parse(json as string);
    expect(data.type).toBe(name);
    return data;
  });
}

/** Puts a stream together as Anthropic's clients do. */
function assemble(events: readonly WireEvent[]): unknown {
  let message: Record<string, unknown> & { content: Record<string, unknown>[] } = { content: [] };
  const inputs: string[] = [];
  for (const event of events) {
    const block = message.content[event.index] as Record<string, string>;
    if (event.type === 'message_start') message = structuredClone(event.message as typeof message);
    if (event.type === 'content_block_start') {
      expect(event.index).toBe(message.content.length);
      message.content.push({ ...event.content_block });
    }
    if (event.type === 'content_block_delta') {
      const { type, ...delta } = event.delta;
      if (type === 'input_json_delta') inputs[event.index] = (inputs[event.index] ?? '') + delta.partial_json;
      else for (const [key, value] of Object.entries(delta)) block[key] += value;
    }
    if (event.type === 'content_block_stop' && block.type === 'tool_use') {
      message.content[event.index]!.input = JSON.parse(inputs[event.index] || '{}');
    }
    if (event.type === 'message_delta') Object.assign(message, event.delta, { usage: event.usage });
  }
  return message;
}

describe('a whole message', () => {
  test('has exactly the fields of the Messages API', async () => {
    const { response, text } = await answer(request());
    expect(response.status).toBe(200);
    expect(response.headers.get('request-id')).toBe(response.headers.get('x-request-id'));
    expect(JSON.parse(text)).toEqual({
      id: ID,
      type: 'message',
      role: 'assistant',
      model: 'fake-model',
      content: [{ type: 'text', text: 'Hello there!' }],
      stop_reason: 'end_turn',
      stop_sequence: null,
      usage: {
        input_tokens: 6,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 4,
        output_tokens: 3,
      },
    });
  });

  test('has a block for what was thought, for what is said, and for each call', async () => {
    const { text } = await answer(request(), everything);
    expect(JSON.parse(text)).toMatchObject({
      content: [
        { type: 'thinking', thinking: 'Hm, weather.', signature: '' },
        { type: 'text', text: 'Let me look.' },
        { type: 'tool_use', id: 'call_1', name: 'weather', input: { city: 'Köln' } },
        { type: 'tool_use', id: 'call_2', name: 'time', input: {} },
      ],
      stop_reason: 'tool_use',
    });
  });

  test('keeps thoughts to itself when asked to', async () => {
    const thinking = { type: 'adaptive', display: 'omitted' };
    const whole = await answer(request({ thinking }), everything);
    expect(JSON.parse(whole.text).content[0]).toEqual({ type: 'text', text: 'Let me look.' });
    const streamed = await answer(request({ thinking, stream: true }), everything);
    expect(streamed.text).not.toContain('Hm');
  });

  test.each([
    [ended('length'), 'max_tokens', null],
    [ended('stop', '###'), 'stop_sequence', '###'],
    [ended('stop', 7), 'end_turn', null],
    [ended('stop'), 'end_turn', null],
  ])('says why it ended (%#)', async (end, reason, sequence) => {
    const { text } = await answer(request(), [said({ text: 'x' }), end]);
    expect(JSON.parse(text)).toMatchObject({ stop_reason: reason, stop_sequence: sequence });
  });

  test('survives a call whose arguments were cut off', async () => {
    const cut = said({ toolCalls: [{ index: 0, id: 'c', name: 'f', arguments: '{"a":' }] });
    const { text } = await answer(request(), [cut, ended('length')]);
    expect(JSON.parse(text).content).toEqual([{ type: 'tool_use', id: 'c', name: 'f', input: {} }]);
  });
});

describe('a streamed message', () => {
  test('has the events of the Messages API in their order', async () => {
    const { response, text } = await answer(request({ stream: true }));
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const textDelta = (piece: string) => ({
      type: 'content_block_delta',
      index: 0,
      delta: { type: 'text_delta', text: piece },
    });
    expect(eventsOf(text)).toEqual([
      {
        type: 'message_start',
        message: {
          id: ID,
          type: 'message',
          role: 'assistant',
          model: 'fake-model',
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: {
            input_tokens: 6,
            cache_creation_input_tokens: 0,
            cache_read_input_tokens: 4,
            output_tokens: 0,
          },
        },
      },
      { type: 'ping' },
      { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
      textDelta('Hello'),
      textDelta(' there'),
      textDelta('!'),
      { type: 'content_block_stop', index: 0 },
      {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { input_tokens: 6, cache_creation_input_tokens: 0, cache_read_input_tokens: 4, output_tokens: 3 },
      },
      { type: 'message_stop' },
    ]);
  });

  test.each([
    ['thought, text and calls', everything],
    ['nothing', [ended()]],
    ['thoughts alone', [said({ reasoning: 'a' }), ended('length')]],
    ['one delta with all of it', [said({ reasoning: 'a', text: 'b' }), ended('stop', 'END')]],
  ])('is the whole message: %s', async (_, events) => {
    const whole = JSON.parse((await answer(request(), events)).text);
    const streamed = assemble(eventsOf((await answer(request({ stream: true }), events)).text));
    expect(streamed).toEqual({ ...whole, id: ID });
  });

  test('ends with an error event when the engine stops on the way', async () => {
    const { response, text } = await answer(request({ stream: true }), [said({ text: 'half' }), ended('error')]);
    expect(response.status).toBe(200);
    const events = eventsOf(text);
    expect(events.at(-1)).toEqual({
      type: 'error',
      error: { type: 'overloaded_error', message: expect.stringContaining('Send the request again') },
      request_id: response.headers.get('x-request-id'),
    });
    expect(events.map(({ type }) => type)).not.toContain('message_stop');
  });

  test('has a proper status when it fails before its first token', async () => {
    const { response, text } = await answer(request({ stream: true }), [ended('error')]);
    expect(response.status).toBe(503);
    expect(JSON.parse(text)).toMatchObject({ type: 'error', error: { type: 'overloaded_error' } });
  });
});

describe('what serving is asked for', () => {
  test('every field arrives', async () => {
    const { serving } = await answer(
      request({
        system: [
          { type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } },
          { type: 'text', text: 'Be kind.' },
        ],
        stop_sequences: ['END'],
        temperature: 0.5,
        top_k: 40,
        top_p: 0.9,
        tools: [{ name: 'weather', description: 'Weather.', input_schema: { type: 'object' } }],
        tool_choice: { type: 'tool', name: 'weather', disable_parallel_tool_use: true },
        thinking: { type: 'enabled', budget_tokens: 32 },
        output_config: { effort: 'low', format: { type: 'json_schema', schema: { type: 'object' } } },
        metadata: { user_id: 'x' },
      }),
    );
    expect(serving.requests).toEqual([
      {
        id: ID,
        model: 'fake-model',
        prompt: {
          kind: 'chat',
          messages: [
            { role: 'system', content: 'Be brief.\nBe kind.' },
            { role: 'user', content: 'Hi' },
          ],
          templateArguments: { enable_thinking: true, thinking_budget: 32, reasoning_effort: 'low' },
        },
        tools: {
          definitions: [{ name: 'weather', description: 'Weather.', parameters: { type: 'object' } }],
          choice: { name: 'weather' },
          parallel: false,
        },
        stop: ['END'],
        thinkingBudget: 32,
        structuredOutput: {
          kind: 'json_schema',
          schema: { type: 'object' },
          strict: true,
          param: 'output_config.format.schema',
        },
        sampling: { maxTokens: 64, temperature: 0.5, topK: 40, topP: 0.9 },
      },
    ]);
  });

  test.each([
    [undefined, 'auto'],
    [{ type: 'auto' }, 'auto'],
    [{ type: 'any' }, 'required'],
    [{ type: 'none' }, 'none'],
  ])('tool choice %j is %s', async (choice, expected) => {
    const { serving } = await answer(
      request({ tools: [{ name: 'f', input_schema: { type: 'object' } }], tool_choice: choice }),
    );
    expect(serving.requests[0]?.tools).toMatchObject({ choice: expected, parallel: true });
  });

  test('a conversation with tools becomes messages as templates know them', async () => {
    const { serving } = await answer(
      request({
        messages: [
          { role: 'user', content: [{ type: 'text', text: 'Weather?' }] },
          {
            role: 'assistant',
            content: [
              { type: 'thinking', thinking: 'Look it up.', signature: 'abc' },
              { type: 'redacted_thinking', data: 'opaque' },
              { type: 'text', text: 'One moment.' },
              { type: 'tool_use', id: 'c1', name: 'weather', input: { city: 'Köln' } },
            ],
          },
          {
            role: 'user',
            content: [
              { type: 'tool_result', tool_use_id: 'c1', content: [{ type: 'text', text: 'rain' }] },
              { type: 'text', text: 'And now?' },
            ],
          },
          { role: 'assistant', content: 'It rains' },
        ],
      }),
    );
    expect(serving.requests[0]?.prompt).toEqual({
      kind: 'chat',
      messages: [
        { role: 'user', content: 'Weather?' },
        {
          role: 'assistant',
          content: 'One moment.',
          reasoning_content: 'Look it up.',
          tool_calls: [{ id: 'c1', type: 'function', function: { name: 'weather', arguments: { city: 'Köln' } } }],
        },
        { role: 'tool', tool_call_id: 'c1', content: 'rain' },
        { role: 'user', content: 'And now?' },
        { role: 'assistant', content: 'It rains' },
      ],
      continueFinalMessage: true,
    });
  });

  test('null is the same as leaving a field out', async () => {
    const fields = ['system', 'stop_sequences', 'stream', 'temperature', 'top_k', 'top_p', 'tools', 'tool_choice'];
    const more = ['thinking', 'metadata', 'service_tier', 'output_config', 'container', 'mcp_servers'];
    const { response, serving } = await answer(
      request(Object.fromEntries([...fields, ...more].map((field) => [field, null]))),
    );
    const bare = await answer(request());
    expect(response.status).toBe(200);
    expect({ ...serving.requests[0], id: '' }).toEqual({ ...bare.serving.requests[0], id: '' });
  });
});

describe('counting tokens', () => {
  test('counts the prompt that would be computed, tools included', async () => {
    const serving = fakeServing();
    const tools = [{ name: 'f', input_schema: { type: 'object' } }];
    const { max_tokens: _, ...body } = request({ tools });
    const response = await quietApp(serving).request('/v1/messages/count_tokens', post(body));
    await answer(request({ tools }));
    const prompt = { kind: 'chat' as const, messages: [{ role: 'user', content: 'Hi' }] };
    const use = {
      definitions: [{ name: 'f', parameters: { type: 'object' } }],
      choice: 'auto',
      parallel: true,
    } as const;
    const { tokenIds } = serving.tokenize(undefined, prompt, use);
    expect(await response.json()).toEqual({ input_tokens: tokenIds.length });
  });
});

describe('what is wrong is told in the shape of the Messages API', () => {
  const image = { type: 'image', source: { type: 'base64', media_type: 'image/png', data: '' } };
  test.each([
    ['no max_tokens', { messages: [{ role: 'user', content: 'Hi' }] }, 'max_tokens: is required'],
    ['an image', request({ messages: [{ role: 'user', content: [image] }] }), 'this model is text-only'],
    [
      'an image in a result',
      request({ messages: [{ role: 'user', content: [{ type: 'tool_result', tool_use_id: 'x', content: [image] }] }] }),
      'this model is text-only',
    ],
    [
      'a tool of the server',
      request({ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }),
      'no tools of its',
    ],
    ['a choice without tools', request({ tool_choice: { type: 'any' } }), 'only allowed together with `tools`'],
    [
      'the choice of an unknown tool',
      request({ tools: [{ name: 'f', input_schema: {} }], tool_choice: { type: 'tool', name: 'g' } }),
      'tool_choice.name: is not the name of one of `tools`',
    ],
    ['a container', request({ container: 'c' }), 'container: is not supported'],
    [
      'a call of a user',
      request({ messages: [{ role: 'user', content: [{ type: 'tool_use', id: 'a', name: 'b', input: {} }] }] }),
      'only allowed in messages of role "assistant"',
    ],
    ['no object', [1], 'The request body must be a JSON object'],
  ])('%s', async (_, body, message) => {
    const { response, text, serving } = await answer(body);
    expect(response.status).toBe(400);
    expect(JSON.parse(text)).toEqual({
      type: 'error',
      error: { type: 'invalid_request_error', message: expect.stringContaining(message) },
      request_id: response.headers.get('x-request-id'),
    });
    expect(serving.requests).toEqual([]);
  });

  test('an unknown model', async () => {
    const { response, text } = await answer(request({ model: 'claude' }));
    expect(response.status).toBe(404);
    expect(JSON.parse(text)).toMatchObject({ error: { type: 'not_found_error' } });
  });

  test('a missing key; the one in X-Api-Key is accepted', async () => {
    const app = quietApp(fakeServing(), { apiKeys: ['k'] });
    const refused = await app.request(URL, post(request()));
    expect(refused.status).toBe(401);
    expect(await refused.json()).toMatchObject({ type: 'error', error: { type: 'authentication_error' } });
    expect((await app.request(URL, post(request(), { 'X-Api-Key': 'l' }))).status).toBe(401);
    expect((await app.request(URL, post(request(), { 'X-Api-Key': 'k' }))).status).toBe(200);
  });

  test('another method, and a body that is too large', async () => {
    const app = quietApp(fakeServing(), { maxBodyBytes: 1000 });
    const other = await app.request(URL);
    expect(other.status).toBe(405);
    expect(await other.json()).toMatchObject({ type: 'error' });
    const large = await app.request(URL, post(request({ system: 'x'.repeat(1000) })));
    expect(large.status).toBe(413);
    expect(await large.json()).toMatchObject({ error: { type: 'request_too_large' } });
  });
});
