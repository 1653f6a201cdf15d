import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import { all, model, url, weather } from './server.mjs';

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
const messages = [{ role: 'user', content: 'What is gravity?' }];
const small = { model, messages, max_tokens: 12, temperature: 0 };
const tools = [{ type: 'function', function: weather }];

const Person = z.object({ name: z.string().max(12), age: z.number().int(), tags: z.array(z.enum(['a', 'b'])).max(2) });

describe('chat completions', () => {
  test('whole and streamed are the same', async () => {
    const whole = await client.chat.completions.create(small);
    const chunks = await all(
      await client.chat.completions.create({ ...small, stream: true, stream_options: { include_usage: true } }),
    );
    const streamed = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    assert.equal(streamed, whole.choices[0].message.content);
    assert.deepEqual(chunks.at(-1).usage.completion_tokens, whole.usage.completion_tokens);
  });

  test('several choices, seeds, log-probabilities, biases, stops', async () => {
    const answer = await client.chat.completions.create({
      ...small,
      n: 2,
      seed: 7,
      temperature: 1,
      logprobs: true,
      top_logprobs: 2,
      logit_bias: { 5: -100 },
      stop: ['\n\n'],
      user: 'someone',
      metadata: { any: 'thing' },
    });
    assert.equal(answer.choices.length, 2);
    const [token] = answer.choices[0].logprobs.content;
    assert.equal(token.top_logprobs.length, 2);
    assert.ok(token.logprob <= 0);
  });

  test('a tool that must be called, streamed by the helper', async () => {
    const stream = client.chat.completions.stream({ ...small, max_tokens: 60, tools, tool_choice: 'required' });
    const { choices } = await stream.finalChatCompletion();
    const [call] = choices[0].message.tool_calls;
    assert.equal(call.function.name, weather.name);
    const { city, unit } = JSON.parse(call.function.arguments);
    assert.equal(typeof city, 'string');
    assert.ok(['celsius', 'fahrenheit'].includes(unit));
  });

  test('tools run by the helper, their results answered', async () => {
    let asked = 0;
    const runner = client.chat.completions.runTools(
      {
        ...small,
        max_tokens: 60,
        tool_choice: { type: 'function', function: { name: weather.name } },
        tools: [
          {
            type: 'function',
            function: {
              ...weather,
              parse: JSON.parse,
              function: ({ city }) => {
                asked += 1;
                return `Rain in ${city}.`;
              },
            },
          },
        ],
      },
      { maxChatCompletions: 2 },
    );
    await runner.done().catch(() => {});
    assert.ok(asked >= 1);
    assert.ok(runner.messages.some(({ role }) => role === 'tool'));
  });

  test('a structured answer by zod', async () => {
    const answer = await client.chat.completions.parse({
      ...small,
      max_tokens: 80,
      response_format: zodResponseFormat(Person, 'person'),
    });
    const { parsed } = answer.choices[0].message;
    assert.equal(typeof parsed.age, 'number');
    assert.deepEqual(Person.parse(parsed), parsed);
  });

  test('an image is refused with what to do', async () => {
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } };
    await assert.rejects(
      client.chat.completions.create({ ...small, messages: [{ role: 'user', content: [image] }] }),
      (error) => error instanceof OpenAI.BadRequestError && /text-only/.test(error.message),
    );
  });
});

test('completions', async () => {
  const answer = await client.completions.create({ model, prompt: ['Once', 'Twice'], max_tokens: 4, logprobs: 1 });
  assert.equal(answer.choices.length, 2);
  assert.equal(answer.choices[1].logprobs.tokens.length, 4);
  const best = await client.completions.create({ model, prompt: 'Once', max_tokens: 4, n: 1, best_of: 3 });
  assert.equal(best.choices.length, 1);
});

test('models', async () => {
  const [first] = (await client.models.list()).data;
  assert.equal((await client.models.retrieve(first.id)).id, first.id);
  await assert.rejects(client.models.retrieve('no/such'), OpenAI.NotFoundError);
});

test('embeddings, as floats and as base64', async () => {
  const input = ['What is gravity?', 'What is rain?'];
  const floats = await client.embeddings.create({ model, input, encoding_format: 'float' });
  const base64 = await client.embeddings.create({ model, input });
  assert.equal(floats.data.length, 2);
  for (const [i, { embedding }] of floats.data.entries()) {
    assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-3);
    base64.data[i].embedding.forEach((value, j) => {
      assert.ok(Math.abs(value - embedding[j]) < 1e-6);
    });
  }
});

describe('responses', () => {
  const request = { model, input: 'What is gravity?', max_output_tokens: 12, temperature: 0 };

  test('whole and streamed are the same, and can be continued', async () => {
    const whole = await client.responses.create(request);
    assert.ok(whole.output_text.length > 0);
    const events = await all(await client.responses.create({ ...request, stream: true }));
    assert.equal(events[0].type, 'response.created');
    const last = events.at(-1);
    assert.ok(['response.completed', 'response.incomplete'].includes(last.type));
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta').map(({ delta }) => delta);
    assert.equal(deltas.join(''), whole.output_text);
    const next = await client.responses.create({ ...request, input: 'And rain?', previous_response_id: whole.id });
    assert.ok(next.usage.input_tokens > whole.usage.input_tokens);
    assert.equal((await client.responses.retrieve(whole.id)).id, whole.id);
    await client.responses.delete(whole.id);
    await assert.rejects(client.responses.retrieve(whole.id), OpenAI.NotFoundError);
  });

  test('a structured answer by zod', async () => {
    const answer = await client.responses.parse({
      ...request,
      max_output_tokens: 80,
      text: { format: zodTextFormat(Person, 'person') },
    });
    assert.deepEqual(Person.parse(answer.output_parsed), answer.output_parsed);
  });

  test('a tool that must be called', async () => {
    const answer = await client.responses.create({
      ...request,
      max_output_tokens: 60,
      tools: [{ type: 'function', ...weather, strict: true }],
      tool_choice: 'required',
    });
    const call = answer.output.find(({ type }) => type === 'function_call');
    assert.equal(call.name, weather.name);
    assert.equal(typeof JSON.parse(call.arguments).city, 'string');
  });
});
