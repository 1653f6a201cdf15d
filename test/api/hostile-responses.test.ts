import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { post, quietApp } from '../support/api.js';
import { fakeServing } from '../support/fake-serving.js';

const app = quietApp(fakeServing());
const PATHS = ['/v1/responses', '/v1/responses/input_tokens'];

/** Never a fault of the server, always JSON or a stream. */
async function expectNoFault(path: string, body: string): Promise<void> {
  const response = await app.request(path, post(body));
  const text = await response.text();
  expect(response.status, text).toBeLessThan(500);
  if (response.status >= 400) expect(JSON.parse(text).error.message).toEqual(expect.any(String));
}

const anyJson = fc.jsonValue({ maxDepth: 4 });
const oddString = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '\0', '\ud800', '__proto__', 'constructor'),
);
const odd = fc.oneof(anyJson, oddString, fc.constantFrom(null, 0, -1, 1e308, 0.5, 1, 2));
const text = fc.oneof(oddString, odd);
const part = fc.oneof(
  anyJson,
  fc.record(
    { type: fc.constantFrom('input_text', 'output_text', 'refusal', 'input_image'), text, refusal: text },
    { requiredKeys: [] },
  ),
);
const content = fc.oneof(text, fc.array(part, { maxLength: 3 }));
const callId = fc.constantFrom('a', 'b');
const item = fc.oneof(
  anyJson,
  fc.record(
    { type: fc.constant('message'), role: fc.constantFrom('user', 'assistant', 'system', 'robot'), content, id: odd },
    { requiredKeys: ['content'] },
  ),
  fc.record({ type: fc.constant('function_call'), call_id: callId, name: text, arguments: text }),
  fc.record({ type: fc.constant('function_call_output'), call_id: callId, output: content }),
  fc.record(
    { type: fc.constant('reasoning'), summary: fc.array(part), content: fc.array(part), encrypted_content: text },
    { requiredKeys: [] },
  ),
  fc.record({ type: fc.constantFrom('item_reference', 'web_search_call'), id: odd, status: odd }),
);
const tool = fc.oneof(anyJson, fc.record({ type: text, name: text, parameters: odd, strict: odd }));
const FIELDS = [
  ...['instructions', 'model', 'max_output_tokens', 'temperature', 'top_p', 'top_logprobs', 'include', 'metadata'],
  ...['tool_choice', 'parallel_tool_calls', 'reasoning', 'text', 'truncation', 'store', 'stream', 'stream_options'],
  ...['previous_response_id', 'background', 'conversation', 'seed', 'stop', 'chat_template_kwargs', '__proto__'],
];
const settings = fc.dictionary(fc.oneof(fc.constantFrom(...FIELDS), oddString), odd, { maxKeys: 4 });
const input = fc.oneof(odd, fc.array(item, { maxLength: 5 }));

describe.each(PATHS)('%s takes any body without a fault', (path) => {
  test('any JSON', () => fc.assert(fc.asyncProperty(anyJson, (body) => expectNoFault(path, JSON.stringify(body)))));

  test('odd input', () =>
    fc.assert(
      fc.asyncProperty(input, (value) => expectNoFault(path, JSON.stringify({ input: value }))),
      { numRuns: 1000 },
    ));

  test('odd settings', () =>
    fc.assert(
      fc.asyncProperty(settings, fc.array(tool, { maxLength: 3 }), (extra, tools) =>
        expectNoFault(path, JSON.stringify({ input: 'x', tools, ...extra })),
      ),
      { numRuns: 1000 },
    ));

  test.each([
    ['five million bad items', `{"input":[${'1,'.repeat(5e6)}1]}`],
    ['five million bad parts', `{"input":[{"role":"user","content":[${'1,'.repeat(5e6)}1]}]}`],
    ['a million nested lists', `{"input":${'['.repeat(1e6)}${']'.repeat(1e6)}}`],
    ['a __proto__ item', '{"input":[{"role":"user","content":"x","__proto__":{"type":5}}],"__proto__":{"n":5}}'],
  ])('%s', (_, body) => expectNoFault(path, body));
});
