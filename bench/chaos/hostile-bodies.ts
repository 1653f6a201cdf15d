import fc from 'fast-check';
import { HOSTILE_FORMS } from '../../test/support/hostile-forms.js';
import { type FuzzRequest, fuzzOperations, type OpenApiDocument } from '../../test/support/openapi-requests.js';
import { randomSchema } from '../../test/support/random-schema.js';

/** A request whose body need not be JSON, nor text. */
export interface HostileRequest extends Omit<FuzzRequest, 'body'> {
  body: string | Buffer | undefined;
}

const TEXTS: readonly string[] = [
  ...[
    '',
    '\0',
    '\ud800',
    '\udfff\ud800',
    '\u202e\u2066\u200f',
    '\ufeff',
    'e\u0301'.repeat(500),
    '\u{1f468}\u200d'.repeat(300),
  ],
  ...[
    '<|im_start|>system\n',
    '</s><s>',
    '{{ 7 * 7 }}',
    '{% for i in range(10**9) %}x{% endfor %}',
    '../../etc/passwd',
    '$(id)',
    '\r\nX: y',
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    '%s%n',
    'x'.repeat(20_000),
    '\n'.repeat(5_000),
    ' '.repeat(5_000),
    '\u0000'.repeat(2_000),
  ],
];

/** Bytes that are not UTF-8: alone, overlong, beyond Unicode, half a character, and half of a surrogate pair. */
const NOT_UTF8 = ['ff', 'c0af', 'f5808080', 'e282', 'eda080', 'c080', 'f8888080', 'feff0041'].map((hex) =>
  Buffer.from(hex, 'hex'),
);

const NESTED = [
  '['.repeat(100_000),
  `${'['.repeat(5_000)}${']'.repeat(5_000)}`,
  `${'{"a":'.repeat(5_000)}1${'}'.repeat(5_000)}`,
  `[${'1,'.repeat(50_000)}1]`,
  '9'.repeat(10_000),
  '1e99999',
  '-0',
  '"\\ud800"',
  '{"__proto__":{"n":5},"constructor":{"prototype":{"n":5}}}',
];

/**
 * Requests that are nearly right, made from the server's own OpenAPI document, and those that are nothing like it: texts
 * of all kinds of Unicode in every place, bytes that are no text, JSON that is too deep, schemas, arguments of templates.
 */
export function hostileRequests(document: OpenApiDocument): fc.Arbitrary<HostileRequest> {
  const operations = fuzzOperations(document);
  const weighted = operations.map(({ hasBody, requests }) => ({ arbitrary: requests, weight: hasBody ? 20 : 1 }));
  const described: fc.Arbitrary<FuzzRequest> = fc.oneof(...weighted);
  const withBodies = operations.filter(({ hasBody }) => hasBody).map(({ requests }) => requests);
  const posted = fc.oneof(...withBodies);
  const odd = fc.oneof(fc.constantFrom(...TEXTS), fc.string({ unit: 'binary', maxLength: 40 }));

  const withTexts: fc.Arbitrary<HostileRequest> = fc.tuple(posted, odd).map(([request, text]) => ({
    ...request,
    body: JSON.stringify(withText(JSON.parse(request.body!), text)),
  }));
  const noText: fc.Arbitrary<HostileRequest> = fc
    .tuple(posted, fc.constantFrom(...NOT_UTF8), fc.nat())
    .map(([request, bytes, place]) => {
      const body = Buffer.from(request.body!);
      const at = place % (body.length + 1);
      return { ...request, body: Buffer.concat([body.subarray(0, at), bytes, body.subarray(at)]) };
    });
  const cut = fc.tuple(posted, fc.nat()).map(([request, place]) => ({
    ...request,
    body: request.body!.slice(0, place % (request.body!.length + 1)),
  }));
  const deep = fc
    .tuple(
      posted,
      fc.constantFrom(...NESTED),
      fc.constantFrom('messages', 'prompt', 'input', 'tools', 'chat_template_kwargs', 'x'),
    )
    .map(([request, json, field]) => ({ ...request, body: `{"prompt":"x","max_tokens":1,"${field}":${json}}` }));
  const forms = randomSchema().map((schema) => completion({ structured_outputs: { json: schema } }));
  const templates = fc
    .record({ name: odd, value: fc.oneof(odd, fc.jsonValue({ maxDepth: 3 })) })
    .map(({ name, value }) => chat({ chat_template_kwargs: { [name]: value, messages: value, range: value } }));
  return fc.oneof<fc.MaybeWeightedArbitrary<HostileRequest>[]>(
    { weight: 50, arbitrary: described },
    { weight: 15, arbitrary: withTexts },
    { weight: 10, arbitrary: noText },
    { weight: 10, arbitrary: cut },
    { weight: 5, arbitrary: deep },
    { weight: 2, arbitrary: forms },
    { weight: 8, arbitrary: templates },
  );
}

/** One of the forms that take seconds until they are refused. */
export function hardForm(index: number): HostileRequest {
  return completion(HOSTILE_FORMS[index % HOSTILE_FORMS.length]!.fields);
}

function completion(fields: object): HostileRequest {
  return { method: 'POST', path: '/v1/completions', body: JSON.stringify({ prompt: 'Hi', max_tokens: 4, ...fields }) };
}

function chat(fields: object): HostileRequest {
  const messages = [{ role: 'user', content: 'Hi' }];
  return { method: 'POST', path: '/v1/chat/completions', body: JSON.stringify({ messages, max_tokens: 4, ...fields }) };
}

/** The value with every text in it replaced, but for the names of models. */
function withText(value: unknown, text: string): unknown {
  if (typeof value === 'string') return text;
  if (Array.isArray(value)) return value.map((inner) => withText(inner, text));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      ['model', 'role', 'type'].includes(key) ? inner : withText(inner, text),
    ]),
  );
}
