import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServer, type QuireServer } from '../../src/api/create-server.js';
import { createLogger } from '../../src/telemetry/index.js';
import { randomModelPath } from '../support/random-model.js';

let server: QuireServer;
let client: OpenAI;

beforeAll(async () => {
  const model = await randomModelPath({ type: 'Q8_0', heads: 4, kvHeads: 2 });
  server = createServer({ model, servedModelName: ['random'], logger: createLogger({ level: 'warn' }) });
  const [{ url }] = await Promise.all([server.listen({ port: 0 }), server.serving.whenReady()]);
  client = new OpenAI({ baseURL: `${url}/v1`, apiKey: '-', maxRetries: 0 });
}, 120_000);

afterAll(() => server?.close(0));

const schema = {
  type: 'object',
  properties: {
    city: { type: 'string', pattern: '^[A-Z][a-z]{2,8}$' },
    degrees: { type: 'integer', minimum: -40, maximum: 50 },
    next: { anyOf: [{ $ref: '#' }, { type: 'null' }] },
  },
  required: ['city', 'degrees', 'next'],
  additionalProperties: false,
};

async function answer(fields: object): Promise<string> {
  const completion = await client.chat.completions.create({
    model: 'random',
    messages: [{ role: 'user', content: 'Say something.' }],
    max_tokens: 400,
    seed: 3,
    ...fields,
  });
  expect(completion.choices[0]!.finish_reason).toBe('stop');
  return completion.choices[0]!.message.content!;
}

const strict = (schema: object): object => ({
  response_format: { type: 'json_schema', json_schema: { name: 'x', strict: true, schema } },
});

describe('an answer has the form that is asked for', () => {
  test('by response_format', async () => {
    const { city, degrees, next } = JSON.parse(await answer(strict(schema)));
    expect(city).toMatch(/^[A-Z][a-z]{2,8}$/);
    expect(Math.abs(degrees)).toBeLessThanOrEqual(50);
    expect(next === null || typeof next === 'object').toBe(true);
  });

  test.each<[fields: object, pattern: RegExp]>([
    [{ structured_outputs: { choice: ['yes', 'no'] } }, /^(yes|no)$/],
    [{ structured_outputs: { regex: '\\d{3}-[éü]{2}' } }, /^\d{3}-[éü]{2}$/],
    [{ structured_outputs: { json: { enum: [1, 'ü'] } } }, /^(1|"ü")$/],
    [{ guided_json: '{"const": [true]}' }, /^\[true\]$/],
    [{ guided_regex: 'a+b?c{1,4}' }, /^a+b?c{1,4}$/],
    [{ guided_choice: ['bc', 'xac', 'xad'] }, /^(bc|xac|xad)$/],
    [{ guided_grammar: 'root ::= [ab]{2} tail\ntail ::= "." | "!"' }, /^[ab]{2}[.!]$/],
    [{ grammar: 'root ::= "x" [0-9]{3} # GBNF' }, /^x\d{3}$/],
    [{ json_schema: { type: 'boolean' } }, /^(true|false)$/],
    [
      {
        response_format: {
          type: 'structural_tag',
          format: {
            type: 'tag',
            begin: '<｜é｜>',
            content: { type: 'json_schema', json_schema: { type: 'null' } },
            end: '!',
          },
        },
      },
      /^<｜é｜>null!$/,
    ],
  ])('by %j', async (fields, pattern) => {
    expect(await answer(fields)).toMatch(pattern);
  });

  test('in completions, in each choice and as a stream', async () => {
    const completion = await client.completions.create({
      model: 'random',
      prompt: 'x',
      n: 3,
      max_tokens: 60,
      ...({ guided_regex: '[a-c]{5}' } as object),
    });
    for (const { text } of completion.choices) expect(text).toMatch(/^[a-c]{5}$/);
  });
});

describe('a form that cannot be had is refused, with the place in it', () => {
  test.each<[fields: object, param: string, message: RegExp]>([
    [
      strict({ properties: { a: { type: 'string', pattern: '(?=a)b' } } }),
      'response_format.json_schema.schema.properties.a.pattern',
      /cannot be enforced/,
    ],
    [
      strict({ type: 'object', properties: { b: { not: {} } } }),
      'response_format.json_schema.schema.properties.b.not',
      /cannot be enforced/,
    ],
    [
      strict({ type: 'array', items: { type: 'text' } }),
      'response_format.json_schema.schema.items.type',
      /must be one of/,
    ],
    [{ json_schema: { $ref: '#/$defs/none' } }, 'json_schema.$ref', /does not exist/],
    [{ guided_json: { type: 'integer', minimum: 3, maximum: 2 } }, 'guided_json', /no such number/],
    [{ guided_regex: '(a' }, 'guided_regex', /not a regular expression/],
    [{ grammar: 'root ::= missing' }, 'grammar', /"missing" is not defined/],
    [{ guided_grammar: 'root ::= root' }, 'guided_grammar', /no text that satisfies it/],
    [
      { guided_regex: '((a{1,900}){1,900}b?){1,900}' },
      'guided_regex',
      /too complex|more than can be handled|too large/,
    ],
  ])(
    '%j',
    async (fields, param, message) => {
      const error = await answer(fields).catch((reason) => reason);
      expect(error).toBeInstanceOf(OpenAI.BadRequestError);
      expect(error.param).toBe(param);
      expect(error.message).toMatch(message);
    },
    30_000,
  );

  test('and the next one is served', async () => {
    expect(await answer({ guided_choice: ['fine'] })).toBe('fine');
  });
});
