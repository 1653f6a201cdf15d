import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';

/** A JSON Schema of what grammars can enforce: nested, with enums, patterns, bounds, references to itself, and Unicode. */
export function randomSchema(): fc.Arbitrary<Record<string, unknown>> {
  return fc
    .record({ schema: schemas.value, definitions: fc.array(schemas.object, { minLength: 2, maxLength: 2 }) })
    .map(({ schema, definitions }) => ({ ...schema, $defs: { a: definitions[0], 'b/c~d é': definitions[1] } }));
}

const PATTERNS = [
  '^[a-z]{2,5}$',
  '^\\d{3}-\\d{4}$',
  '^(foo|bar|"quoted"|back\\\\slash)+$',
  '^[A-Z][\\w]*( [A-Z][\\w]*)?$',
  '^[^\\s"]{1,4}\\n?$',
  '^[éèà☃😀]{1,3}$',
  '^.{0,3}$',
  '^\\S+@\\S+\\.[a-z]{2,3}$',
  '^(?:[01]\\d|2[0-3]):[0-5]\\d$',
];
const FORMATS = ['date', 'time', 'date-time', 'duration', 'email', 'hostname', 'ipv4', 'ipv6', 'uuid', 'uri'];

const name = fc.oneof(
  fc.constantFrom(
    'a',
    'ab',
    'b',
    'name',
    'größe',
    '名前',
    'with "quotes"',
    'back\\slash',
    'new\nline',
    '',
    '$ref',
    'q\t😀',
  ),
  fc.string({ maxLength: 6 }),
);
const scalar = fc.oneof(
  fc.constantFrom(null, true, false, 0, -1, 1.5, 1e21, 'x', 'ü', '"', '\\', 'a\nb', '😀', ''),
  fc.string({ unit: 'grapheme', maxLength: 8 }),
  fc.integer(),
);

/** Two numbers in order, or just one of them. */
function range(low: string, high: string, value: fc.Arbitrary<number>): fc.Arbitrary<Record<string, unknown>> {
  return fc.tuple(value, value, fc.constantFrom('low', 'high', 'both', 'none')).map(([a, b, which]) => ({
    ...(which !== 'high' && which !== 'none' && { [low]: Math.min(a, b) }),
    ...(which !== 'low' && which !== 'none' && { [high]: Math.max(a, b) }),
  }));
}

const small = fc.integer({ min: 0, max: 4 });
const decimal = fc.integer({ min: -100_000, max: 100_000 }).map((value) => value / 100);

const strings = fc.oneof(
  range('minLength', 'maxLength', small).map((lengths) => ({ type: 'string', ...lengths })),
  fc.constantFrom(...PATTERNS).map((pattern) => ({ type: 'string', pattern })),
  fc.constantFrom(...FORMATS).map((format) => ({ type: 'string', format })),
);
const numbers = fc.oneof(
  range('minimum', 'maximum', fc.integer({ min: -2000, max: 2000 })).map((bounds) => ({ type: 'integer', ...bounds })),
  range('minimum', 'maximum', decimal).map((bounds) => ({ type: 'number', ...bounds })),
  fc
    .tuple(decimal, decimal)
    .map(([a, b]) => ({ type: 'number', exclusiveMinimum: Math.min(a, b), exclusiveMaximum: Math.max(a, b) + 1 })),
  fc.integer({ min: 2, max: 9 }).map((multipleOf) => ({ type: 'integer', multipleOf, minimum: -50, maximum: 300 })),
);
const values = fc.oneof(
  fc
    .uniqueArray(scalar, { minLength: 1, maxLength: 5, selector: JSON.stringify as never })
    .map((options) => ({ enum: options })),
  scalar.map((value) => ({ const: value })),
  fc.constantFrom(
    { type: 'boolean' },
    { type: 'null' },
    { type: ['string', 'null'] },
    { type: ['integer', 'boolean'] },
  ),
);

const schemas = fc.letrec<Record<'value' | 'object' | 'array' | 'choice' | 'reference', Record<string, unknown>>>(
  (tie) => ({
    value: fc.oneof(
      { maxDepth: 3, depthSize: 'small', withCrossShrink: true },
      { weight: 2, arbitrary: strings },
      { weight: 2, arbitrary: numbers },
      { weight: 2, arbitrary: values },
      { weight: 3, arbitrary: tie('object') },
      { weight: 2, arbitrary: tie('array') },
      { weight: 1, arbitrary: tie('choice') },
      { weight: 1, arbitrary: tie('reference') },
    ),
    // Recursion ends, since a reference may always be left out.
    reference: fc.constantFrom('#/$defs/a', '#/$defs/b~1c~0d%20é').map((ref) => ({
      anyOf: [{ type: 'null' }, { $ref: ref }],
    })),
    object: fc
      .tuple(
        fc.uniqueArray(fc.tuple(name, tie('value')), { maxLength: 4, selector: ([key]) => key }),
        fc.infiniteStream(fc.boolean()),
        fc.oneof(fc.constantFrom(false, true, undefined), tie('value')),
        fc.constantFrom(undefined, undefined, 1, 2),
      )
      .map(([members, flags, additionalProperties, most]) => {
        const required = members.map(([key]) => key).filter(() => flags.next().value);
        return {
          type: 'object',
          properties: Object.fromEntries(members),
          required,
          ...(additionalProperties !== undefined && { additionalProperties }),
          ...(most !== undefined && { maxProperties: Math.max(most, required.length) }),
        };
      }),
    array: fc.oneof(
      fc
        .tuple(tie('value'), range('minItems', 'maxItems', small))
        .map(([items, bounds]) => ({ type: 'array', items, ...bounds })),
      fc
        .array(tie('value'), { minLength: 1, maxLength: 3 })
        .map((prefixItems) => ({ type: 'array', prefixItems, items: false, minItems: prefixItems.length })),
    ),
    choice: fc.oneof(
      fc.array(tie('value'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
      fc.tuple(tie('object'), tie('object')).map(([a, b]) => ({
        oneOf: [a, b].map((schema, i) => tagged(schema, i)),
      })),
      fc.tuple(strings, fc.constantFrom({ description: 'x' }, { type: 'string' })).map((allOf) => ({ allOf })),
    ),
  }),
);

function tagged(schema: Record<string, unknown>, tag: number): Record<string, unknown> {
  const { properties, required, maxProperties: _, ...rest } = schema;
  return {
    ...rest,
    properties: { ...(properties as object), tag: { const: tag } },
    required: [...new Set([...((required as string[]) ?? []), 'tag'])],
  };
}

/** What is wrong with a text, if it is no JSON that is valid under the schema. */
export function jsonValidator(schema: object): (text: string) => string | undefined {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  const validate = ajv.compile(schema);
  return (text) => {
    try {
      return validate(JSON.parse(text)) ? undefined : JSON.stringify(validate.errors);
    } catch (error) {
      return (error as Error).message;
    }
  };
}
