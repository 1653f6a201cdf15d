import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chat, post, quietApp } from '../support/api.js';
import { fakeServing } from '../support/fake-serving.js';

const app = quietApp(fakeServing());
const PATHS = ['/v1/chat/completions', '/v1/completions'];

/** Never a fault of the server, always JSON or a stream. */
async function expectNoFault(path: string, body: string): Promise<void> {
  const response = await app.request(path, post(body));
  const text = await response.text();
  expect(response.status, text).toBeLessThan(500);
  if (response.status >= 400) expect(JSON.parse(text).error.message).toEqual(expect.any(String));
}

const anyJson = fc.jsonValue({ maxDepth: 4 });
const oddNumber = fc.constantFrom(0, -0, -1, 1e308, -1e308, 5e-324, 2 ** 53, 0.5, 1, 2);
const oddString = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.constantFrom('', '\0', '\ud800', '__proto__', 'constructor'),
);
const oddValue = fc.oneof(anyJson, oddNumber, oddString, fc.constant(null));
const part = fc.oneof(anyJson, fc.record({ type: fc.constantFrom('text', 'image_url'), text: oddValue }));
const message = fc.oneof(
  anyJson,
  fc.record({ role: oddString, content: fc.oneof(oddString, fc.array(part), oddValue) }, { requiredKeys: [] }),
);
const FIELDS = [
  ...['model', 'n', 'max_tokens', 'max_completion_tokens', 'stop', 'stream', 'stream_options', 'temperature', 'top_p'],
  ...[
    'top_k',
    'min_p',
    'typical_p',
    'presence_penalty',
    'frequency_penalty',
    'repetition_penalty',
    'logit_bias',
    'seed',
  ],
  ...[
    'min_tokens',
    'stop_token_ids',
    'ignore_eos',
    'priority',
    'cache_salt',
    'logprobs',
    'top_logprobs',
    'echo',
    'tools',
    'allowed_token_ids',
    'bad_words',
    'return_token_ids',
    'prompt_logprobs',
    'thinking_token_budget',
  ],
  ...['chat_template_kwargs', 'response_format', 'best_of', 'suffix', '__proto__', 'constructor', 'toString'],
];
const fields = fc.dictionary(fc.oneof(fc.constantFrom(...FIELDS), oddString), oddValue, { maxKeys: 4 });
const request = fc
  .tuple(fields, fc.oneof(fc.array(message, { maxLength: 3 }), oddValue), oddValue)
  .map(([extra, messages, prompt]) => ({ ...extra, messages, prompt }));

describe.each(PATHS)('%s takes any body without a fault', (path) => {
  test('any JSON', () => fc.assert(fc.asyncProperty(anyJson, (body) => expectNoFault(path, JSON.stringify(body)))));

  test('requests with odd fields', () =>
    fc.assert(
      fc.asyncProperty(request, (body) => expectNoFault(path, JSON.stringify(body))),
      { numRuns: 1000 },
    ));

  test('one odd field in a request that is fine otherwise', () =>
    fc.assert(
      fc.asyncProperty(fields, (extra) => expectNoFault(path, JSON.stringify({ ...chat(), prompt: 'x', ...extra }))),
      { numRuns: 1000 },
    ));

  test('any text', () => fc.assert(fc.asyncProperty(fc.string(), (body) => expectNoFault(path, body))));

  test.each([
    ['a million nested lists', `{"messages":${'['.repeat(1e6)}${']'.repeat(1e6)}}`],
    ['a million nested objects', `{"messages":[],"x":${'{"a":'.repeat(1e6)}1${'}'.repeat(1e6)}}`],
    ['nesting in template arguments', nestedTemplateArguments(10_000)],
    ['a number too large for a double', '{"prompt":"x","messages":[{"role":"user"}],"seed":1e999}'],
    ['a number of a million digits', `{"prompt":"x","messages":[{"role":"user"}],"n":${'9'.repeat(1e6)}}`],
    ['a __proto__ field', '{"prompt":"x","messages":[{"role":"user","__proto__":{"content":5}}],"__proto__":{"n":5}}'],
    ['the same field twice', '{"prompt":"x","messages":[{"role":"user"}],"n":0,"n":1}'],
    ['five million bad messages', `{"prompt":"x","messages":[${'1,'.repeat(5e6)}1]}`],
    ['five million bad prompts', `{"messages":[],"prompt":["a",${'1,'.repeat(5e6)}1]}`],
    ['five million bad stop strings', `{"prompt":"x","messages":[{"role":"user"}],"stop":[${'1,'.repeat(5e6)}1]}`],
    ['a UTF-8 byte order mark', '\ufeff{"prompt":"x","messages":[{"role":"user"}]}'],
  ])('%s', (_, body) => expectNoFault(path, body));
});

test('a polluted body leaves other objects alone', async () => {
  await expectNoFault(PATHS[0] as string, '{"messages":[{"role":"user"}],"__proto__":{"polluted":true}}');
  expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
});

function nestedTemplateArguments(depth: number): string {
  const nested = `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
  return `{"prompt":"x","messages":[{"role":"user"}],"chat_template_kwargs":${nested}}`;
}
