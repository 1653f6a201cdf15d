/** Forms of answers that are small and hard, or large: what `response_format` and its kin may be asked for. */
export interface HostileForm {
  name: string;
  /** Fields of a completion request. */
  fields: Record<string, unknown>;
}

const json = (name: string, schema: unknown): HostileForm => ({
  name,
  fields: { structured_outputs: { json: schema } },
});
const regex = (pattern: string): HostileForm => ({
  name: `regex ${pattern}`,
  fields: { structured_outputs: { regex: pattern } },
});
const grammar = (name: string, text: string): HostileForm => ({
  name,
  fields: { structured_outputs: { grammar: text } },
});

const numbered = (count: number) => Array.from({ length: count }, (_, i) => i);

function nested(depth: number, wrap: (inner: unknown) => unknown): unknown {
  let schema: unknown = { type: 'string' };
  for (let i = 0; i < depth; i++) schema = wrap(schema);
  return schema;
}

export const HOSTILE_FORMS: readonly HostileForm[] = [
  regex('(a{1000}){1000}'),
  regex('((a{100}){100}){100}'),
  regex('(((((a?){50}){50}){50}){50}){50}'),
  regex('a{0,1000000000}'),
  regex('(a*)*b'),
  regex('(a|a|a|a|a|a|a|a)*c'),
  regex('(.*a){40}'),
  regex(`${'('.repeat(5_000)}a${')'.repeat(5_000)}`),
  regex(`${'(a|b)?'.repeat(5_000)}x`),
  regex(`[${'a-z'.repeat(20_000)}]`),
  regex('\\p{L}{500}\\p{Script=Han}{500}'),
  json('10,000 properties', {
    type: 'object',
    properties: Object.fromEntries(numbered(10_000).map((i) => [`p${i}`, { type: 'integer' }])),
  }),
  json('10,000 required properties', {
    type: 'object',
    properties: Object.fromEntries(numbered(10_000).map((i) => [`p${i}`, true])),
    required: numbered(10_000).map((i) => `p${i}`),
  }),
  json('an enum of 20,000', { enum: numbered(20_000).map((i) => `value ${i}`) }),
  json('$ref to itself', { $ref: '#' }),
  json('$refs in a circle', { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } }),
  json('$ref out of the document', { $ref: 'file:///etc/passwd' }),
  json('$ref to a prototype', { $ref: '#/constructor/prototype' }),
  json('a recursion that never ends', {
    $ref: '#/$defs/a',
    $defs: { a: { type: 'object', properties: { a: { $ref: '#/$defs/a' } }, required: ['a'] } },
  }),
  json('a billion laughs', {
    $ref: '#/$defs/d30',
    $defs: Object.fromEntries([
      ['d0', { type: 'string' }],
      ...numbered(30).map((i) => [
        `d${i + 1}`,
        { type: 'array', prefixItems: [{ $ref: `#/$defs/d${i}` }, { $ref: `#/$defs/d${i}` }], minItems: 2 },
      ]),
    ]),
  }),
  json('allOf of many laughs', {
    allOf: numbered(18).map((i) => ({
      anyOf: [{ properties: { [`a${i}`]: true } }, { properties: { [`b${i}`]: true } }],
    })),
  }),
  json(
    'allOf, 500 deep',
    nested(500, (inner) => ({ allOf: [inner, { type: 'string' }] })),
  ),
  json(
    'anyOf, 16 levels of two',
    nested(16, (inner) => ({ anyOf: [inner, { type: 'array', items: inner }] })),
  ),
  json(
    'objects, 2,000 deep',
    nested(2_000, (inner) => ({ type: 'object', properties: { a: inner }, required: ['a'] })),
  ),
  json('a string of a million', { type: 'string', minLength: 1_000_000, maxLength: 1_000_001 }),
  json('an array of a million', { type: 'array', items: { type: 'integer' }, minItems: 1_000_000 }),
  json('numbers of many digits', { type: 'integer', minimum: -1e300, maximum: 1e300 }),
  json('a pattern that explodes', { type: 'string', pattern: '^((a{100}){100}){100}$' }),
  json('names that are JavaScript’s', {
    type: 'object',
    properties: JSON.parse('{"__proto__":{"type":"integer"},"constructor":{"type":"integer"},"toString":true}'),
    required: ['__proto__', 'constructor'],
  }),
  grammar('left recursion', 'root ::= root "a" | "b"'),
  grammar('hidden left recursion', 'root ::= a "x"\na ::= b? root\nb ::= "y"'),
  grammar('a rule that is only itself', 'root ::= root'),
  grammar('no end', 'root ::= "a" root'),
  grammar('many ways', 'root ::= a a a a a a a a a a a a "x"\na ::= "a"* | "a"* "a"*'),
  grammar('repetitions of repetitions', 'root ::= a{1000}\na ::= b{1000}\nb ::= c{1000}\nc ::= "x"'),
  grammar('parentheses', `root ::= ${'('.repeat(20_000)}"a"${')'.repeat(20_000)}`),
  grammar('a text of 200,000 characters', `root ::= "${'a'.repeat(200_000)}"`),
  grammar(
    '10,000 rules',
    numbered(10_000)
      .map((i) => `${i === 0 ? 'root' : `r${i}`} ::= "a" | r${i + 1}`)
      .join('\n')
      .concat('\nr10000 ::= "b"'),
  ),
  grammar('nonsense', '::= ::= \0 "'),
  { name: '10,000 choices', fields: { structured_outputs: { choice: numbered(10_000).map((i) => `choice ${i}`) } } },
  {
    name: 'a structural tag in itself',
    fields: {
      response_format: {
        type: 'structural_tag',
        format: nested(300, (inner) => ({ type: 'tag', begin: '<a>', content: inner, end: '</a>' })) as object,
      },
    },
  },
];
