import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatOpenAI, OpenAIEmbeddings } from '@langchain/openai';
import { z } from 'zod';
import { all, model, url } from './server.mjs';

const common = { model, apiKey: 'none', maxRetries: 0, configuration: { baseURL: `${url}/v1` } };
const chat = (maxTokens = 12) => new ChatOpenAI({ ...common, maxTokens, temperature: 0, useResponsesApi: false });
const question = [new HumanMessage('What is gravity?')];

test('whole and streamed are the same', async () => {
  const whole = await chat().invoke(question);
  const chunks = await all(await chat().stream(question));
  assert.equal(chunks.map(({ content }) => content).join(''), whole.content);
});

test('a tool that must be called, and its result', async () => {
  const weather = tool(async ({ city }) => `Rain in ${city}.`, {
    name: 'weather',
    description: 'Current weather of a city',
    schema: z.object({ city: z.string().max(20) }),
  });
  const calling = await chat(60).bindTools([weather], { tool_choice: 'weather' }).invoke(question);
  const [call] = calling.tool_calls;
  assert.equal(call.name, 'weather');
  const result = new ToolMessage({ content: await weather.invoke(call.args), tool_call_id: call.id });
  const answer = await chat()
    .bindTools([weather])
    .invoke([...question, calling, result]);
  assert.ok(answer.usage_metadata.output_tokens > 0);
});

test('structured output', async () => {
  const schema = z.object({ name: z.string().max(12), age: z.number().int() });
  for (const method of ['jsonSchema', 'functionCalling']) {
    const person = await chat(80).withStructuredOutput(schema, { method, name: 'person' }).invoke(question);
    assert.deepEqual(schema.parse(person), person);
  }
});

test('embeddings', async () => {
  const vectors = await new OpenAIEmbeddings(common).embedDocuments(['a', 'b']);
  assert.equal(vectors.length, 2);
  assert.ok(vectors[0].length > 8);
});
