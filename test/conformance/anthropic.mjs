import assert from 'node:assert/strict';
import { test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { model, url, weather } from './server.mjs';

const client = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 });
const request = {
  model,
  max_tokens: 12,
  temperature: 0,
  system: 'Be brief.',
  messages: [{ role: 'user', content: 'What is gravity?' }],
};
const tools = [{ name: weather.name, description: weather.description, input_schema: weather.parameters }];

test('whole and streamed are the same', async () => {
  const whole = await client.messages.create(request);
  const streamed = await client.messages.stream(request).finalMessage();
  assert.equal(whole.content[0].type, 'text');
  assert.deepEqual(streamed.content, whole.content);
  assert.equal(streamed.stop_reason, whole.stop_reason);
  assert.equal(streamed.usage.output_tokens, whole.usage.output_tokens);
});

test('a tool that must be called, and its result', async () => {
  // A small model that may make several calls does not know when to stop.
  const tool_choice = { type: 'any', disable_parallel_tool_use: true };
  const answer = await client.messages.create({ ...request, max_tokens: 100, tools, tool_choice });
  assert.equal(answer.stop_reason, 'tool_use');
  const call = answer.content.find(({ type }) => type === 'tool_use');
  assert.equal(typeof call.input.city, 'string');
  const result = { type: 'tool_result', tool_use_id: call.id, content: 'Rain.' };
  const next = await client.messages.create({
    ...request,
    tools,
    messages: [
      ...request.messages,
      { role: 'assistant', content: answer.content },
      { role: 'user', content: [result] },
    ],
  });
  assert.ok(next.usage.output_tokens > 0);
});

test('tokens are counted', async () => {
  const { input_tokens } = await client.messages.countTokens({ model, messages: request.messages });
  assert.ok(input_tokens > 4);
});

test('a mistake is an error of its kind', async () => {
  await assert.rejects(client.messages.create({ ...request, max_tokens: -1 }), Anthropic.BadRequestError);
  await assert.rejects(client.messages.create({ ...request, model: 'no such' }), Anthropic.NotFoundError);
});
