import { describe, expect, it } from 'vitest';
import { mendClasses, renameToRoot } from '../../src/grammar/ebnf-text.js';
import { jsonSchemaToEbnf } from '../../src/grammar/json-schema.js';
import { regexGrammar } from '../../src/grammar/regex.js';
import { structuralTagToEbnf } from '../../src/grammar/structural-tag.js';
import { accepts, xgrammar } from '../support/grammar-walk.js';

async function acceptsValue(schema: object, value: unknown, strict = true): Promise<boolean> {
  return accepts(jsonSchemaToEbnf(schema, { strict }), typeof value === 'string' ? value : JSON.stringify(value));
}

describe('the grammar of a regular expression', () => {
  it.each([
    ['bc|xac|xad', ['bc', 'xac', 'xad'], ['bd', 'xab', '']],
    ['[^a]', ['b', 'é', '😀'], ['a', 'bb']],
    ['[é-ü]{2}', ['éü'], ['ea', 'é']],
    ['^a.c$', ['abc', 'aéc', 'a😀c'], ['a\nc', 'ac']],
    ['(?:x|y)*z?', ['', 'xyx', 'z'], ['zz']],
    ['\\u{1F600}|\\x41', ['😀', 'A'], ['a']],
    ['"\\\\', ['"\\'], ['\\"']],
  ])('%s', async (pattern, matching, others) => {
    const ebnf = regexGrammar(pattern);
    for (const text of matching) expect(await accepts(ebnf, text), text).toBe(true);
    for (const text of others) expect(await accepts(ebnf, text), text).toBe(false);
  });

  it.each(['(?=a)b', 'a\\b', '(a)\\1', 'a^b', '(', '\\p{L}'])('cannot be had of %s', (pattern) => {
    expect(() => regexGrammar(pattern)).toThrow();
  });
});

describe('the grammar of a schema', () => {
  it.each([
    [{ type: 'integer', minimum: -12, maximum: 340 }, [-12, -9, 0, 7, 99, 340], [-13, 341, '007', '-0', 1.5]],
    [{ type: 'number', minimum: 0.5, maximum: 2 }, [0.5, 0.75, 1, 1.999, 2], [0.4, 2.1, 3]],
    [{ type: 'number', exclusiveMinimum: 0 }, [0.01, 5], [0, -1]],
    [{ type: 'integer', multipleOf: 7, minimum: 0, maximum: 50 }, [0, 7, 49], [1, 50]],
    [{ type: 'string', minLength: 1, maxLength: 2 }, ['"a"', '"\\""', '"😀é"'], ['""', '"abc"', '"\n"']],
    [{ type: 'string', pattern: '^.$' }, ['"\\""', '"x"'], ['"""', '"\\n"']],
    [{ type: 'string', format: 'date' }, ['"2024-02-28"', '"2023-04-30"'], ['"2023-04-31"', '"2023-13-01"']],
    [{ enum: ['bc', 'xac', 'xad', 'ü', 1] }, ['"bc"', '"ü"', 1], ['"bd"', '"u"']],
    [{ properties: { 'a"\\\n': { const: 1 } }, required: ['a"\\\n'] }, [{ 'a"\\\n': 1 }], [{}, { a: 1 }]],
    [
      { properties: { ab: { type: 'null' } }, additionalProperties: { type: 'integer' } },
      [{}, { ab: null }, { a: 1 }, { abc: 1, b: 2 }],
      [{ ab: 1 }, { a: null }],
    ],
    [{ allOf: [{ properties: { a: {} } }, { required: ['a'], minProperties: 1 }] }, [{ a: [1] }], [{}]],
    [{ type: 'array', prefixItems: [{ const: 1 }], items: false }, [[1]], [[1, 2], [2]]],
    [{ $ref: '#/$defs/n', $defs: { n: { properties: { n: { $ref: '#/$defs/n' } } } } }, [{ n: { n: {} } }], [{ m: 1 }]],
    [{ patternProperties: { '^x-': { type: 'null' } } }, [{}], [{ y: null }]],
    [{ type: 'object' }, [{ a: { b: [1, null] } }], [[], 1]],
    [{ properties: { a: {}, b: {}, c: {} }, minProperties: 2, maxProperties: 2 }, [{ a: 1, c: 2 }], [{ a: 1 }]],
  ] as [object, unknown[], unknown[]][])('%j', async (schema, valid, others) => {
    for (const value of valid) expect(await acceptsValue(schema, value), JSON.stringify(value)).toBe(true);
    for (const value of others) expect(await acceptsValue(schema, value), JSON.stringify(value)).toBe(false);
  });

  it.each([
    [{ not: {} }, '.not'],
    [{ properties: { a: { uniqueItems: true, type: 'array' } } }, '.properties.a.uniqueItems'],
    [{ items: { pattern: 'a\\b' } }, '.items.pattern'],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, '.oneOf'],
    [{ type: 'string', format: 'klingon' }, '.format'],
  ])('%j is refused when strict, and looser otherwise', (schema, path) => {
    expect(() => jsonSchemaToEbnf(schema, { strict: true })).toThrow(expect.objectContaining({ path }));
    expect(jsonSchemaToEbnf(schema, { strict: false })).toContain('root ::=');
  });

  it.each([
    [{ type: 'text' }, '.type'],
    [{ anyOf: [{ type: 'null' }, { $ref: 'http://x/y' }] }, '.anyOf[1].$ref'],
    [{ properties: { a: false }, required: ['a'] }, '.properties.a'],
    [{ items: { minLength: -1 } }, '.items.minLength'],
    [{ enum: [] }, '.enum'],
    [{ allOf: [{ type: 'string' }, { type: 'null' }] }, ''],
  ])('%j is refused in any case', (schema, path) => {
    expect(() => jsonSchemaToEbnf(schema, { strict: false })).toThrow(expect.objectContaining({ path }));
  });
});

describe('a structural tag', () => {
  it('is free text with calls whose arguments have a form', async () => {
    const content = { type: 'json_schema', json_schema: { properties: { a: { type: 'integer' } }, required: ['a'] } };
    const tags = [{ type: 'tag', begin: '<call>', content, end: '</call>' }];
    const ebnf = await structuralTagToEbnf({ type: 'triggered_tags', triggers: ['<call>'], tags }, xgrammar);
    expect(await accepts(ebnf, 'wörds <call>{"a":1}</call> and more')).toBe(true);
    expect(await accepts(ebnf, 'words')).toBe(true);
    expect(await accepts(ebnf, '<call>{"b":1}</call>')).toBe(false);
  });

  it('names the place of what is wrong', async () => {
    const format = { type: 'sequence', elements: [{ type: 'json_schema', json_schema: { type: 'text' } }] };
    await expect(structuralTagToEbnf(format, xgrammar)).rejects.toMatchObject({
      path: '.format.elements[0].json_schema.type',
    });
  });
});

describe("a client's grammar", () => {
  it('has its classes beyond ASCII mended, and nothing else', async () => {
    expect(mendClasses('root ::= "[é]" [a-z\\]] # [é]')).toBe('root ::= "[é]" [a-z\\]] # [é]');
    const mended = mendClasses('root ::= [aéà-ã]+ [^ü]');
    expect(await accepts(mended, 'aãb')).toBe(true);
    expect(await accepts(mended, 'äa')).toBe(false);
    expect(await accepts(mended, 'aü')).toBe(false);
  });

  it('gets another root by name', () => {
    expect(renameToRoot('root ::= "root"\nroot_1 ::= root', 'root_1')).toBe(
      'inner_root ::= "root"\nroot ::= inner_root',
    );
  });
});
