import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embedMany, generateObject, generateText, streamText, tool } from 'ai';
import { z } from 'zod';
import { all, model as name, url } from './server.mjs';

const provider = createOpenAICompatible({
  name: 'quire',
  baseURL: `${url}/v1`,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider(name);
const request = { model, prompt: 'What is gravity?', maxOutputTokens: 12, temperature: 0, maxRetries: 0 };

test('generateText and streamText say the same', async () => {
  const whole = await generateText(request);
  const stream = streamText(request);
  assert.equal((await all(stream.textStream)).join(''), whole.text);
  assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
});

test('generateObject', async () => {
  const schema = z.object({ name: z.string().max(12), age: z.number().int() });
  const { object } = await generateObject({ ...request, maxOutputTokens: 80, schema });
  assert.deepEqual(schema.parse(object), object);
});

test('tools', async () => {
  let city;
  const weather = tool({
    description: 'Current weather of a city',
    inputSchema: z.object({ city: z.string().max(20) }),
    execute: async (input) => {
      city = input.city;
      return 'Rain.';
    },
  });
  const { toolCalls } = await generateText({
    ...request,
    maxOutputTokens: 100,
    // A small model that may make several calls does not know when to stop.
    providerOptions: { quire: { parallel_tool_calls: false } },
    tools: { weather },
    toolChoice: 'required',
  });
  assert.equal(toolCalls[0].toolName, 'weather');
  assert.equal(typeof city, 'string');
});

test('embeddings', async () => {
  const { embeddings } = await embedMany({ model: provider.embeddingModel(name), values: ['a', 'b'], maxRetries: 0 });
  assert.equal(embeddings.length, 2);
});
