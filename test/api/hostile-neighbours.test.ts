import fc from 'fast-check';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { post, quietApp } from '../support/api.js';
import { fakeServing } from '../support/fake-serving.js';

vi.stubEnv('AIP_PREDICT_ROUTE', '/predict');
afterAll(() => vi.unstubAllEnvs());
const app = quietApp(fakeServing());

/** Each path with a body that is fine, and fields that it knows. */
const GOOD: Record<string, Record<string, unknown>> = {
  '/v1/messages': { model: 'default', max_tokens: 5, messages: [{ role: 'user', content: 'Hi' }] },
  '/v1/messages/count_tokens': { messages: [{ role: 'user', content: 'Hi' }] },
  '/api/chat': { model: 'default', messages: [{ role: 'user', content: 'Hi' }] },
  '/api/generate': { model: 'default', prompt: 'Hi' },
  '/api/embed': { model: 'default', input: ['Hi'] },
  '/api/show': { model: 'default' },
  '/completion': { prompt: 'Hi' },
  '/infill': { input_prefix: 'a', input_suffix: 'b' },
  '/generate': { inputs: 'Hi' },
  '/generate_stream': { inputs: 'Hi' },
  '/': { inputs: 'Hi' },
  '/v2/models/default/generate': { text_input: 'Hi' },
  '/invocations': { messages: [{ role: 'user', content: 'Hi' }] },
  '/predict': { instances: [{ prompt: 'Hi' }] },
};
const FIELDS = [
  ...['model', 'messages', 'system', 'tools', 'tool_choice', 'thinking', 'stop_sequences', 'output_config', 'stream'],
  ...['options', 'format', 'think', 'keep_alive', 'images', 'raw', 'context', 'logprobs', 'top_logprobs', 'prompt'],
  ...['n_predict', 'n', 'stop', 'logit_bias', 'n_probs', 'json_schema', 'grammar', 'return_tokens', 'seed', 'top_p'],
  ...['inputs', 'input', 'parameters', 'text_input', 'instances', 'id', 'name', '__proto__', 'constructor', 'toString'],
];

/** Never a fault of the server, always JSON or a stream. */
async function expectNoFault(path: string, body: string): Promise<void> {
  const response = await app.request(path, post(body));
  const text = await response.text();
  expect(response.status, text).toBeLessThan(500);
  if (response.status >= 400) expect(JSON.stringify(JSON.parse(text))).toContain('error');
}

const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom(0, -0, -1, 1e308, 5e-324, 2 ** 53, 0.5, 1, '', '\0', '\ud800', '__proto__', null, true, [], {}),
  fc.constantFrom([{}], [[]], [null], [{ role: 'user' }], [{ type: 'text' }], { type: 'json' }, [{ prompt: 'x' }]),
);
const fields = fc.dictionary(fc.oneof(fc.constantFrom(...FIELDS), fc.string()), odd, { maxKeys: 4 });

describe.each(Object.entries(GOOD))('%s takes any body without a fault', (path, good) => {
  test('any JSON', () =>
    fc.assert(fc.asyncProperty(fc.jsonValue(), (body) => expectNoFault(path, JSON.stringify(body)))));

  test('odd fields in a request that is fine otherwise', () =>
    fc.assert(
      fc.asyncProperty(fields, (extra) => expectNoFault(path, JSON.stringify({ ...good, ...extra }))),
      { numRuns: 300 },
    ));

  test('odd values where another object belongs', async () => {
    const nested = Object.entries(good).filter(([, value]) => typeof value === 'object');
    const inner = fc.record({ key: fc.constantFrom('role', 'content', 'prompt', 'tool_calls', 'images', 'n'), odd });
    for (const [field] of nested) {
      await fc.assert(
        fc.asyncProperty(inner, ({ key, odd }) =>
          expectNoFault(path, JSON.stringify({ ...good, [field]: [{ ...(good[field] as object[])[0], [key]: odd }] })),
        ),
      );
    }
  });

  test.each([
    ['no JSON', '{'],
    ['a million nested lists', `{"messages":${'['.repeat(1e6)}${']'.repeat(1e6)}}`],
    ['a number too large for a double', '{"prompt":"x","inputs":"x","seed":1e999}'],
    ['a million bad messages', `{"model":"default","max_tokens":1,"messages":[${'1,'.repeat(1e6)}1]}`],
    ['a million bad prompts', `{"prompt":["a",${'1,'.repeat(1e6)}1],"instances":[${'1,'.repeat(1e6)}1]}`],
    ['a __proto__ field', '{"messages":[{"role":"user","__proto__":{"content":5}}],"__proto__":{"inputs":5}}'],
  ])('%s', (_, body) => expectNoFault(path, body));
});
