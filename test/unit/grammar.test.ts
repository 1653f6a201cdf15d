import { describe, expect, it } from 'vitest';
import { mendClasses, renameToRoot } from '../../src/grammar/ebnf-text.js';
import { jsonSchemaGrammar } from '../../src/grammar/json-schema.js';
import { regexGrammar } from '../../src/grammar/regex.js';
import { structuralTagGrammar } from '../../src/grammar/structural-tag.js';
import { accepts, xgrammar } from '../support/grammar-walk.js';

async function acceptsValue(schema: object, value: unknown, strict = true): Promise<boolean> {
  return accepts(jsonSchemaGrammar(schema, { strict }), typeof value === 'string' ? value : JSON.stringify(value));
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
    const grammar = { ebnf: regexGrammar(pattern), lengths: [] };
    for (const text of matching) expect(await accepts(grammar, text), text).toBe(true);
    for (const text of others) expect(await accepts(grammar, text), text).toBe(false);
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
    [
      { type: 'string', minLength: 1, maxLength: 2 },
      ['"a"', '"\\""', '"😀é"', '"\\u00e9\\n"', '"\\ud7ff"'],
      ['""', '"abc"', '"\n"', '"\\ud800"', '"\\x"', '"\\u00e9éé"'],
    ],
    [{ type: 'string', minLength: 3 }, ['"abc"', `"${'é'.repeat(300)}"`], ['""', '"ab"', '"a\\n"']],
    [{ type: 'string', maxLength: 300 }, ['""', `"${'é'.repeat(300)}"`], [`"${'é'.repeat(301)}"`]],
    [{ type: 'string', maxLength: 0 }, ['""'], ['"a"']],
    [
      {
        anyOf: [{ type: 'string', maxLength: 2 }, { const: 'longer' }, { type: 'string', minLength: 4, maxLength: 4 }],
      },
      ['""', '"a"', '"longer"'],
      ['"abc"', '"longe"'],
    ],
    [
      { propertyNames: { maxLength: 1 }, additionalProperties: { type: 'null' } },
      [{ a: null, b: null }],
      [{ ab: null }],
    ],
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
    expect(() => jsonSchemaGrammar(schema, { strict: true })).toThrow(expect.objectContaining({ path }));
    expect(jsonSchemaGrammar(schema, { strict: false }).ebnf).toContain('root ::=');
  });

  it.each([
    [{ type: 'text' }, '.type'],
    [{ anyOf: [{ type: 'null' }, { $ref: 'http://x/y' }] }, '.anyOf[1].$ref'],
    [{ properties: { a: false }, required: ['a'] }, '.properties.a'],
    [{ items: { minLength: -1 } }, '.items.minLength'],
    [{ enum: [] }, '.enum'],
    [{ allOf: [{ type: 'string' }, { type: 'null' }] }, ''],
  ])('%j is refused in any case', (schema, path) => {
    expect(() => jsonSchemaGrammar(schema, { strict: false })).toThrow(expect.objectContaining({ path }));
  });
});

describe('a structural tag', () => {
  it('is free text with calls whose arguments have a form', async () => {
    const schema = { properties: { a: { type: 'integer' }, b: { type: 'string', maxLength: 3 } }, required: ['a'] };
    const content = { type: 'json_schema', json_schema: schema };
    const tags = [{ type: 'tag', begin: '<call>', content, end: '</call>' }];
    const grammar = await structuralTagGrammar({ type: 'triggered_tags', triggers: ['<call>'], tags }, xgrammar);
    expect(await accepts(grammar, 'wörds <call>{"a":1}</call> and more')).toBe(true);
    expect(await accepts(grammar, 'words \x01g')).toBe(true);
    expect(await accepts(grammar, 'a <call>{"a":1,"b":"xyz"}</call> <call>{"a":1}</call>')).toBe(true);
    expect(await accepts(grammar, 'a <call>{"a":1,"b":"xyzü"}</call>')).toBe(false);
    expect(await accepts(grammar, '<call>{"b":1}</call>')).toBe(false);
  });

  it('names the place of what is wrong', async () => {
    const format = { type: 'sequence', elements: [{ type: 'json_schema', json_schema: { type: 'text' } }] };
    await expect(structuralTagGrammar(format, xgrammar)).rejects.toMatchObject({
      path: '.format.elements[0].json_schema.type',
    });
  });
});

describe("a client's grammar", () => {
  it('has its classes beyond ASCII mended, and nothing else', async () => {
    expect(mendClasses('root ::= "[é]" [a-z\\]] # [é]')).toBe('root ::= "[é]" [a-z\\]] # [é]');
    const mended = { ebnf: mendClasses('root ::= [aéà-ã]+ [^ü]'), lengths: [] };
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
