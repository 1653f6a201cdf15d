import { describe, expect, test } from 'vitest';
import type { GenerationEvent } from '../../src/serving/index.js';
import { post } from '../support/api.js';
import { call, delta, finish, replies, type Script, thought } from '../support/fake-serving.js';
import { ask, responsesClient as client, TIME, WEATHER } from '../support/responses.js';

const URL = '/v1/responses';
const id = (prefix: string) => expect.stringMatching(new RegExp(`^${prefix}_[0-9a-f]{32}$`));

const calls: Script = () => [
  thought(0, 'They ask '),
  thought(0, 'for weather.'),
  delta(0, '\n\n'),
  delta(0, 'Let me look.'),
  ...call(0, 0, 'weather', '{"city":', '"Bern"}'),
  delta(0, '\n'),
  ...call(0, 1, 'time', '{}'),
  finish(0, 'tool_calls'),
];

const message = (text: string, status = 'completed') => ({
  type: 'message',
  id: id('msg'),
  status,
  role: 'assistant',
  content: [{ type: 'output_text', text, annotations: [], logprobs: [] }],
});

const CALLED = [
  {
    type: 'reasoning',
    id: id('rs'),
    status: 'completed',
    summary: [],
    content: [{ type: 'reasoning_text', text: 'They ask for weather.' }],
  },
  message('\n\nLet me look.\n'),
  {
    type: 'function_call',
    id: id('fc'),
    status: 'completed',
    call_id: 'call_0',
    name: 'weather',
    arguments: '{"city":"Bern"}',
  },
  { type: 'function_call', id: id('fc'), status: 'completed', call_id: 'call_1', name: 'time', arguments: '{}' },
];

describe('a whole response', () => {
  test('has exactly the fields of the OpenAI API', async () => {
    const before = Math.floor(Date.now() / 1000);
    const { status, body } = await client().create(ask());
    expect(status).toBe(200);
    expect(body.created_at).toBeGreaterThanOrEqual(before);
    expect(body.completed_at).toBeGreaterThanOrEqual(body.created_at);
    expect(body).toEqual({
      id: id('resp'),
      object: 'response',
      created_at: expect.any(Number),
      completed_at: expect.any(Number),
      status: 'completed',
      background: false,
      error: null,
      incomplete_details: null,
      instructions: null,
      max_output_tokens: null,
      max_tool_calls: null,
      metadata: {},
      model: 'fake-model',
      output: [message('Hello there!')],
      parallel_tool_calls: true,
      previous_response_id: null,
      prompt_cache_key: null,
      prompt_cache_retention: null,
      reasoning: { effort: null, summary: null },
      safety_identifier: null,
      service_tier: 'default',
      store: true,
      temperature: 1,
      text: { format: { type: 'text' }, verbosity: 'medium' },
      tool_choice: 'auto',
      tools: [],
      top_logprobs: 0,
      top_p: 1,
      truncation: 'disabled',
      usage: {
        input_tokens: 10,
        input_tokens_details: { cached_tokens: 4, cache_write_tokens: 0 },
        output_tokens: 3,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens: 13,
      },
      user: null,
    });
  });

  test('returns the settings of the request', async () => {
    const settings = {
      instructions: 'Be brief.',
      max_output_tokens: 50,
      max_tool_calls: 3,
      metadata: { topic: 'demo' },
      parallel_tool_calls: false,
      prompt_cache_key: 'p',
      prompt_cache_retention: '24h',
      reasoning: { effort: 'low', summary: 'auto' },
      safety_identifier: 's',
      store: false,
      temperature: 0.5,
      text: { format: { type: 'json_schema', name: 'x', schema: { type: 'object' }, strict: true } },
      tool_choice: { type: 'function', name: 'weather' },
      tools: [WEATHER],
      top_logprobs: 2,
      top_p: 0.9,
      truncation: 'auto',
      user: 'u',
    };
    const { body } = await client().create(ask(settings));
    expect(body).toMatchObject(settings);
    expect(body.service_tier).toBe('default');
  });

  test('has reasoning, text and calls as items, and counts the tokens of reasoning', async () => {
    const { body } = await client(calls).create(ask({ tools: [WEATHER, TIME] }));
    expect(body.status).toBe('completed');
    expect(body.output).toEqual(CALLED);
    expect(body.usage.output_tokens_details).toEqual({ reasoning_tokens: 2 });
  });

  test('is incomplete when it was cut off, and so is the item that was being written', async () => {
    const cut = client(() => [thought(0, 'Hm.'), delta(0, 'half'), finish(0, 'length')]);
    const { body } = await cut.create(ask({ max_output_tokens: 2 }));
    expect(cut.serving.requests[0]?.sampling.maxTokens).toBe(2);
    expect(body).toMatchObject({
      status: 'incomplete',
      completed_at: null,
      incomplete_details: { reason: 'max_output_tokens' },
      output: [
        { type: 'reasoning', status: 'completed' },
        { type: 'message', status: 'incomplete', content: [{ text: 'half' }] },
      ],
    });
    const inCall = client(() => [delta(0, 'I call.'), ...call(0, 0, 'weather', '{"ci'), finish(0, 'length')]);
    const { body: called } = await inCall.create(ask({ tools: [WEATHER] }));
    expect(called.output).toMatchObject([
      { type: 'message', status: 'completed' },
      { type: 'function_call', status: 'incomplete', arguments: '{"ci' },
    ]);
  });

  test('keeps white space for the text that follows, and none between calls', async () => {
    const outputOf = async (...events: GenerationEvent[]) => {
      const { body } = await client(() => [...events, finish(0, 'stop')]).create(ask());
      return body.output;
    };
    expect(await outputOf(delta(0, '\n'), delta(0, ' a'), delta(0, ' '))).toEqual([message('\n a ')]);
    expect(await outputOf(delta(0, '\n'), ...call(0, 0, 'f', '{}'), delta(0, '\n'))).toHaveLength(1);
    expect(await outputOf(delta(0, '\n'))).toEqual([message('\n')]);
    expect(await outputOf()).toEqual([]);
  });

  test('gives log-probabilities of the text when they are included', async () => {
    const silent = delta(0, '', 0);
    const thinking = { ...delta(0, 'Hm.', 0), text: '', reasoning: 'Hm.' } as GenerationEvent;
    const script: Script = () => [silent, thinking, silent, delta(0, 'é', 3), finish(0, 'stop')];
    const logprobs = [
      {
        token: 'é',
        logprob: -0.25,
        bytes: [195, 169],
        top_logprobs: [
          { token: 'é', logprob: -0.25, bytes: [195, 169] },
          { token: 'é?', logprob: -1.5, bytes: [195, 169, 63] },
          { token: 'é…', logprob: -9999, bytes: [195, 169, 226, 128, 166] },
        ],
      },
    ];
    const included = client(script);
    const fields = { include: ['message.output_text.logprobs'], top_logprobs: 3 };
    const { body } = await included.create(ask(fields));
    expect(included.serving.requests[0]?.sampling.logprobs).toBe(3);
    expect(body.output[1].content[0].logprobs).toEqual(logprobs);

    const { events } = await client(script).stream(ask(fields));
    const of = (type: string) => events.find((event) => event.type === type);
    expect(of('response.output_text.delta')?.logprobs).toEqual(logprobs);
    expect(of('response.output_text.done')?.logprobs).toEqual(logprobs);
  });

  test('is a 503 when the engine stops before its end, and nothing is stored', async () => {
    const broken = client(() => [delta(0, 'half'), finish(0, 'error')]);
    const { status, body } = await broken.create(ask());
    expect(status).toBe(503);
    expect(body.error).toMatchObject({ type: 'server_error', code: 'engine_unavailable' });
  });
});

describe('a streamed response', () => {
  test('tells of a message from its beginning to its end', async () => {
    const { response, events } = await client().stream(ask());
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    const done = events.at(-1)?.response;
    const started = { ...done, status: 'in_progress', completed_at: null, usage: null, output: [] };
    const item_id = done.output[0].id;
    const place = { item_id, output_index: 0, content_index: 0 };
    const part = { type: 'output_text', text: 'Hello there!', annotations: [], logprobs: [] };
    const item = { type: 'message', id: item_id, status: 'completed', role: 'assistant', content: [part] };
    expect(events.map(({ sequence_number: _, ...event }) => event)).toEqual([
      { type: 'response.created', response: started },
      { type: 'response.in_progress', response: started },
      {
        type: 'response.output_item.added',
        output_index: 0,
        item: { ...item, status: 'in_progress', content: [] },
      },
      { type: 'response.content_part.added', ...place, part: { ...part, text: '' } },
      { type: 'response.output_text.delta', ...place, delta: 'Hello', logprobs: [] },
      { type: 'response.output_text.delta', ...place, delta: ' there', logprobs: [] },
      { type: 'response.output_text.delta', ...place, delta: '!', logprobs: [] },
      { type: 'response.output_text.done', ...place, text: 'Hello there!', logprobs: [] },
      { type: 'response.content_part.done', ...place, part },
      { type: 'response.output_item.done', output_index: 0, item },
      { type: 'response.completed', response: done },
    ]);
    expect(done).toMatchObject({ status: 'completed', output: [item], usage: { output_tokens: 3 } });
  });

  test('tells of reasoning and calls', async () => {
    const { events } = await client(calls).stream(ask({ tools: [WEATHER, TIME] }));
    const short = events.map(({ type, output_index, delta, item }) =>
      [type.replace('response.', ''), output_index, delta ?? item?.type].filter((part) => part !== undefined).join(' '),
    );
    expect(short).toEqual([
      'created',
      'in_progress',
      'output_item.added 0 reasoning',
      'content_part.added 0',
      'reasoning_text.delta 0 They ask ',
      'reasoning_text.delta 0 for weather.',
      'reasoning_text.done 0',
      'content_part.done 0',
      'output_item.done 0 reasoning',
      'output_item.added 1 message',
      'content_part.added 1',
      'output_text.delta 1 \n\nLet me look.',
      'output_item.added 2 function_call',
      'function_call_arguments.delta 2 {"city":',
      'function_call_arguments.delta 2 "Bern"}',
      'output_text.delta 1 \n',
      'function_call_arguments.done 2',
      'output_item.done 2 function_call',
      'output_item.added 3 function_call',
      'function_call_arguments.delta 3 {}',
      'output_text.done 1',
      'content_part.done 1',
      'output_item.done 1 message',
      'function_call_arguments.done 3',
      'output_item.done 3 function_call',
      'completed',
    ]);
    expect(events.at(-1)?.response.output).toEqual(CALLED);
    const done = events.filter(({ type }) => type === 'response.output_item.done');
    done.sort((a, b) => a.output_index - b.output_index);
    expect(done.map(({ item }) => item)).toEqual(events.at(-1)?.response.output);
    expect(events.find(({ type }) => type === 'response.function_call_arguments.done')).toMatchObject({
      name: 'weather',
      arguments: '{"city":"Bern"}',
    });
  });

  test('ends as incomplete when it was cut off', async () => {
    const { events } = await client(() => [delta(0, 'half'), finish(0, 'length')]).stream(ask());
    expect(events.at(-1)).toMatchObject({
      type: 'response.incomplete',
      response: { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } },
    });
    expect(events.at(-2)).toMatchObject({ type: 'response.output_item.done', item: { status: 'incomplete' } });
  });

  test('ends with an error and as failed when the engine stops on the way', async () => {
    const failing = client(() => [delta(0, 'half'), finish(0, 'error')]);
    const { response, events } = await failing.stream(ask());
    expect(response.status).toBe(200);
    const why = 'The engine stopped before the answer was complete. Send the request again.';
    expect(events.at(-2)).toMatchObject({ type: 'error', code: 'engine_unavailable', message: why, param: null });
    expect(events.at(-1)).toMatchObject({
      type: 'response.failed',
      response: {
        status: 'failed',
        error: { code: 'server_error', message: why },
        output: [{ type: 'message', status: 'incomplete', content: [{ text: 'half' }] }],
      },
    });
    const { body } = await failing.get(events.at(-1)?.response.id);
    expect(body.status).toBe('failed');
  });

  test('is a proper error when nothing has been sent yet', async () => {
    const { app } = client(() => [finish(0, 'error')]);
    expect((await app.request(URL, post(ask({ stream: true })))).status).toBe(503);
  });

  test('has the same events when deltas come merged, but for the number of deltas', async () => {
    const merged: Script = () => [
      {
        type: 'delta',
        choice: 0,
        reasoning: 'They ask for weather.',
        text: '\n\nLet me look.\n',
        toolCalls: [
          { index: 0, id: 'call_0', name: 'weather', arguments: '{"city":"Bern"}' },
          { index: 1, id: 'call_1', name: 'time', arguments: '{}' },
        ],
        tokens: [],
      },
      finish(0, 'tool_calls'),
    ];
    const tools = { tools: [WEATHER, TIME] };
    expect((await client(merged).create(ask(tools))).body.output).toEqual(CALLED);
    const { events } = await client(merged).stream(ask(tools));
    expect(events.at(-1)?.response.output).toEqual(CALLED);
  });

  test('stops in the engine when the client leaves, and is not stored', async () => {
    const { app, serving } = client(async function* () {
      for (;;) {
        yield delta(0, 'x');
        await new Promise((resolve) => setImmediate(resolve));
      }
    });
    const response = await app.request(URL, post(ask({ stream: true })));
    const reader = response.body!.getReader();
    const { value } = await reader.read();
    const [created] = new TextDecoder().decode(value).split('\n\n');
    const { id: responseId } = JSON.parse(created!.split('data: ')[1]!).response;
    await reader.cancel();
    expect(serving.aborted).toEqual([responseId]);
    expect((await app.request(`${URL}/${responseId}`)).status).toBe(404);
  });
});

describe('a stored response', () => {
  test('can be retrieved and deleted, and cannot be cancelled', async () => {
    const kept = client();
    const { body } = await kept.create(ask());
    expect(await kept.get(body.id)).toEqual({ status: 200, body });
    expect(await kept.get(`${body.id}?stream=false&include[]=message.output_text.logprobs`)).toEqual({
      status: 200,
      body,
    });
    expect(await kept.get(`${body.id}?stream=true`)).toMatchObject({
      status: 400,
      body: { error: { param: 'stream' } },
    });
    expect(await kept.cancel(body.id)).toMatchObject({
      status: 400,
      body: { error: { message: 'Cannot cancel a synchronous response.', type: 'invalid_request_error' } },
    });
    expect(await kept.delete(body.id)).toEqual({
      status: 200,
      body: { id: body.id, object: 'response', deleted: true },
    });
    const notFound = {
      status: 404,
      body: {
        error: {
          message: `Response with id '${body.id}' not found.`,
          type: 'invalid_request_error',
          param: null,
          code: null,
        },
      },
    };
    expect(await kept.get(body.id)).toEqual(notFound);
    expect(await kept.delete(body.id)).toEqual(notFound);
    expect(await kept.cancel(body.id)).toEqual(notFound);
    expect(await kept.get(`${body.id}/input_items`)).toEqual(notFound);
  });

  test('is the one that was streamed', async () => {
    const kept = client(calls);
    const { events } = await kept.stream(ask({ tools: [WEATHER, TIME] }));
    const { response } = events.at(-1)!;
    expect(await kept.get(response.id)).toEqual({ status: 200, body: response });
  });

  test('is not there when store is false', async () => {
    const kept = client();
    const { body } = await kept.create(ask({ store: false }));
    expect((await kept.get(body.id)).status).toBe(404);
  });

  test('can be continued, again and again, also when the first is gone; instructions are not kept', async () => {
    const kept = client(calls);
    const tools = [WEATHER, TIME];
    const first = await kept.create(ask({ tools, instructions: 'Be brief.' }));
    const outputs = ['call_0', 'call_1'].map((call_id) => ({ type: 'function_call_output', call_id, output: call_id }));
    const second = await kept.create({ tools, previous_response_id: first.body.id, input: outputs });
    expect(second.status).toBe(200);
    expect(second.body.previous_response_id).toBe(first.body.id);
    const templateCall = (callId: string, name: string, args: object) => ({
      id: callId,
      type: 'function',
      function: { name, arguments: args },
    });
    const talk = [
      { role: 'user', content: 'Hi' },
      {
        role: 'assistant',
        content: '\n\nLet me look.\n',
        reasoning_content: 'They ask for weather.',
        tool_calls: [templateCall('call_0', 'weather', { city: 'Bern' }), templateCall('call_1', 'time', {})],
      },
      { role: 'tool', tool_call_id: 'call_0', content: 'call_0' },
      { role: 'tool', tool_call_id: 'call_1', content: 'call_1' },
    ];
    expect(kept.messages(1)).toEqual(talk);

    await kept.delete(first.body.id);
    const third = await kept.create({ previous_response_id: second.body.id, input: 'Thanks' });
    expect(third.status).toBe(200);
    expect(kept.messages(2)).toEqual([...talk, talk[1], { role: 'user', content: 'Thanks' }]);
  });

  test('that was cut off is gone on with where no input is added', async () => {
    const kept = client(() => [delta(0, 'half'), finish(0, 'length')]);
    const first = await kept.create(ask());
    await kept.create({ previous_response_id: first.body.id });
    expect(kept.serving.requests[1]?.prompt).toMatchObject({
      continueFinalMessage: true,
      messages: [{ role: 'user' }, { role: 'assistant', content: 'half' }],
    });
  });

  test('belongs to who made it', async () => {
    const kept = client(undefined, ['key-a', 'key-b']);
    const { body } = await kept.create(ask(), 'key-a');
    expect((await kept.get(body.id, 'key-a')).status).toBe(200);
    expect((await kept.get(body.id, 'key-b')).status).toBe(404);
    expect((await kept.delete(body.id, 'key-b')).status).toBe(404);
    expect((await kept.create({ previous_response_id: body.id, input: 'x' }, 'key-b')).status).toBe(400);
    const reference = { input: [{ type: 'item_reference', id: body.output[0].id }] };
    expect((await kept.create(reference, 'key-b')).status).toBe(404);
    expect((await kept.create(reference, 'key-a')).status).toBe(200);
  });

  test('lends its items by reference', async () => {
    const kept = client();
    const { body } = await kept.create(ask());
    const input = (await kept.get(`${body.id}/input_items`)).body.data;
    const references = [input[0].id, body.output[0].id].map((itemId) => ({ id: itemId }));
    await kept.create({ input: [...references, { role: 'user', content: 'More' }] });
    expect(kept.messages(1)).toEqual([
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello there!' },
      { role: 'user', content: 'More' },
    ]);
    const { status, body: refused } = await kept.create({ input: [{ type: 'item_reference', id: 'msg_x' }] });
    expect(status).toBe(404);
    expect(refused.error).toMatchObject({ param: 'input', message: expect.stringContaining("'msg_x' not found") });
  });
});

describe('the input items of a response', () => {
  async function conversation() {
    const kept = client(replies('Yes.'));
    const first = await kept.create({
      input: [
        { role: 'user', content: 'One' },
        { role: 'user', content: 'Two' },
      ],
    });
    const second = await kept.create({ previous_response_id: first.body.id, input: 'Three' });
    return { kept, id: second.body.id };
  }
  // biome-ignore lint/suspicious/noExplicitAny: a page as it came
  const texts = (page: any) => page.data.map((item: any) => item.content[0].text);

  test('are all that it answers, newest first', async () => {
    const { kept, id: responseId } = await conversation();
    const { body } = await kept.get(`${responseId}/input_items`);
    expect(texts(body)).toEqual(['Three', 'Yes.', 'Two', 'One']);
    expect(body.data[0]).toEqual({
      type: 'message',
      id: id('msg'),
      status: 'completed',
      role: 'user',
      content: [{ type: 'input_text', text: 'Three' }],
    });
    expect(body).toMatchObject({
      object: 'list',
      first_id: body.data[0].id,
      last_id: body.data[3].id,
      has_more: false,
    });
  });

  test('come page by page', async () => {
    const { kept, id: responseId } = await conversation();
    const page = async (query: string) => (await kept.get(`${responseId}/input_items?${query}`)).body;
    const first = await page('order=asc&limit=3');
    expect([texts(first), first.has_more]).toEqual([['One', 'Two', 'Yes.'], true]);
    const second = await page(`order=asc&limit=3&after=${first.last_id}`);
    expect([texts(second), second.has_more]).toEqual([['Three'], false]);
    expect(await page(`order=asc&after=${second.last_id}`)).toEqual({
      object: 'list',
      data: [],
      first_id: null,
      last_id: null,
      has_more: false,
    });
  });

  test.each([
    ['limit=0', 'limit', 'limit: must be >= 1'],
    ['limit=101', 'limit', 'limit: must be <= 100'],
    ['limit=x', 'limit', 'limit: must be a number'],
    ['order=up', 'order', expect.any(String)],
    ['after=msg_x', 'after', "after: there is no input item with id 'msg_x'."],
  ])('refuse %s', async (query, param, text) => {
    const { kept, id: responseId } = await conversation();
    const { status, body } = await kept.get(`${responseId}/input_items?${query}`);
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ param, message: text });
  });
});
