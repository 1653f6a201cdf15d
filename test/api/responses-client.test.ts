import OpenAI, { BadRequestError, NotFoundError } from 'openai';
import { zodResponsesFunction, zodTextFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { listen, type RunningServer } from '../../src/api/index.js';
import { quietApp } from '../support/api.js';
import { call, delta, fakeServing, finish, type Script, thought } from '../support/fake-serving.js';

/** Says what the last message asks for. */
const script: Script = function* (request) {
  const last = request.prompt.kind === 'chat' ? request.prompt.messages.at(-1) : undefined;
  switch (last?.content) {
    case 'Call!':
      yield thought(0, 'A tool.');
      yield* call(0, 0, 'weather', '{"city":', '"Bern"}');
      yield finish(0, 'tool_calls');
      return;
    case 'JSON!':
      yield delta(0, '{"city":"Bern",');
      yield delta(0, '"rain":true}');
      yield finish(0, 'stop');
      return;
    case 'Fail!':
      yield delta(0, 'half');
      yield finish(0, 'error');
      return;
    default:
      yield delta(0, `You said`);
      yield delta(0, `: ${last?.content}`);
      yield finish(0, 'stop');
  }
};

const Weather = z.object({ city: z.string() });

let server: RunningServer;
let client: OpenAI;

beforeAll(async () => {
  server = await listen(quietApp(fakeServing(script), { apiKeys: ['sk-test'] }), { port: 0 });
  client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'sk-test', maxRetries: 0 });
});

afterAll(() => server.close(0));

describe("OpenAI's client", () => {
  test('creates, retrieves, continues, lists and deletes', async () => {
    const first = await client.responses.create({ model: 'default', input: 'Hi', metadata: { a: 'b' } });
    expect(first.output_text).toBe('You said: Hi');
    expect(first.usage?.total_tokens).toBe(12);
    expect(await client.responses.retrieve(first.id)).toEqual(first);
    const second = await client.responses.create({ previous_response_id: first.id, input: 'More' });
    expect(second.output_text).toBe('You said: More');
    const items: OpenAI.Responses.ResponseItem[] = [];
    for await (const item of client.responses.inputItems.list(second.id, { order: 'asc', limit: 1 })) items.push(item);
    expect(items.map((item) => item.type === 'message' && item.content[0])).toMatchObject([
      { type: 'input_text', text: 'Hi' },
      { type: 'output_text', text: 'You said: Hi' },
      { type: 'input_text', text: 'More' },
    ]);
    await client.responses.delete(first.id);
    await expect(client.responses.retrieve(first.id)).rejects.toThrow(NotFoundError);
    await expect(client.responses.cancel(second.id)).rejects.toThrow(BadRequestError);
    const lost = client.responses.create({ previous_response_id: first.id, input: 'x' });
    await expect(lost).rejects.toMatchObject({ status: 400, code: 'previous_response_not_found' });
  });

  test('streams the same response as it creates', async () => {
    const stream = await client.responses.create({ input: 'Hi', stream: true });
    const types: string[] = [];
    let text = '';
    for await (const event of stream) {
      types.push(event.type);
      if (event.type === 'response.output_text.delta') text += event.delta;
    }
    expect(text).toBe('You said: Hi');
    expect(types[0]).toBe('response.created');
    expect(types.at(-1)).toBe('response.completed');
  });

  test('puts together what it streams', async () => {
    const stream = client.responses.stream({
      input: 'Call!',
      tools: [zodResponsesFunction({ name: 'weather', parameters: Weather })],
    });
    let snapshot = '';
    stream.on('response.function_call_arguments.delta', (event) => {
      snapshot = event.snapshot;
    });
    // Puts together what the events before the last one said.
    let built: OpenAI.Responses.Response['output'] | undefined;
    stream.on('event', (event) => {
      if (event.type === 'response.output_item.done') built = [...(built ?? []), event.item];
    });
    const final = await stream.finalResponse();
    expect(snapshot).toBe('{"city":"Bern"}');
    expect(built).toMatchObject([
      { type: 'reasoning', content: [{ type: 'reasoning_text', text: 'A tool.' }] },
      { type: 'function_call', call_id: 'call_0', name: 'weather', arguments: '{"city":"Bern"}', status: 'completed' },
    ]);
    const called = final.output[1];
    expect(called?.type === 'function_call' && called.parsed_arguments).toEqual({ city: 'Bern' });
  });

  test('calls a tool and answers with what it said', async () => {
    const tools = [zodResponsesFunction({ name: 'weather', parameters: Weather })];
    const asked = await client.responses.parse({ input: 'Call!', tools });
    const called = asked.output.find((item) => item.type === 'function_call');
    expect(called?.parsed_arguments).toEqual({ city: 'Bern' });
    const output = { type: 'function_call_output' as const, call_id: called!.call_id, output: 'rain' };
    const stored = await client.responses.create({ previous_response_id: asked.id, input: [output], tools });
    expect(stored.output_text).toBe('You said: rain');
    const input: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'Call!' }];
    for (const item of asked.output) input.push(item as OpenAI.Responses.ResponseInputItem);
    const sent = await client.responses.create({ input: [...input, output], tools, store: false });
    expect(sent.output_text).toBe('You said: rain');
  });

  test('parses structured output', async () => {
    const format = zodTextFormat(z.object({ city: z.string(), rain: z.boolean() }), 'weather');
    const { output_parsed } = await client.responses.parse({ input: 'JSON!', text: { format } });
    expect(output_parsed).toEqual({ city: 'Bern', rain: true });
    const stream = client.responses.stream({ input: 'JSON!', text: { format } });
    expect((await stream.finalResponse()).output_parsed).toEqual({ city: 'Bern', rain: true });
  });

  test('counts input tokens', async () => {
    const { input_tokens } = await client.responses.inputTokens.count({ input: 'Hi' });
    // Beginning of text, the user's turn of seven bytes, and the beginning of the answer.
    expect(input_tokens).toBe(1 + (1 + 7 + 2) + 11);
  });

  test('learns of a failure on the way', async () => {
    const stream = await client.responses.create({ input: 'Fail!', stream: true });
    const types: string[] = [];
    for await (const event of stream) types.push(event.type);
    expect(types.slice(-2)).toEqual(['error', 'response.failed']);
  });

  test('is refused what the server does not have', async () => {
    const refused = (body: object) => expect(client.responses.create({ input: 'x', ...body })).rejects;
    await refused({ tools: [{ type: 'web_search' }] }).toMatchObject({ status: 400, param: 'tools[0].type' });
    await refused({ background: true }).toMatchObject({ status: 400, code: 'unsupported_parameter' });
    await refused({ model: 'gpt-4o' }).toMatchObject({ status: 404, code: 'model_not_found' });
  });
});
