import fc from 'fast-check';

/** A JSON Schema as OpenAPI 3.1 documents have it. */
export type Schema = Record<string, unknown>;

/** The part of an OpenAPI document that requests are made from. */
export interface OpenApiDocument {
  paths?: Record<string, Record<string, { requestBody?: unknown; parameters?: unknown }>>;
  components?: { schemas?: Record<string, unknown> };
}

export interface FuzzRequest {
  method: string;
  path: string;
  /** JSON text; undefined for operations without a body. */
  body: string | undefined;
}

/** An operation that a document describes, with requests that are nearly right. */
export interface FuzzOperation {
  name: string;
  hasBody: boolean;
  requests: fc.Arbitrary<FuzzRequest>;
}

/** Deeper than this, optional fields are left out and lists stay short. */
const MAX_DEPTH = 5;

const odd = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>(null, 0, -1, 0.5, 1e308, 2 ** 53, '', '\0', '\ud800', '__proto__', [], {}, true),
);

/** For each operation of the document: bodies by its schema, of which some have one value replaced by any other. */
export function fuzzOperations(document: OpenApiDocument): FuzzOperation[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { requestBody }]) => {
      const content = (requestBody as { content?: Record<string, { schema?: Schema }> } | undefined)?.content;
      const schema = content?.['application/json']?.schema;
      const bodies = schema === undefined ? fc.constant(undefined) : mutated(valuesOf(schema, document, 0));
      const paths = fc.constantFrom('x', 'default', 'a%2Fb', '%00').map((id) => path.replace(/\{\w+\}/g, id));
      return {
        name: `${method.toUpperCase()} ${path}`,
        hasBody: schema !== undefined,
        requests: fc.record({ method: fc.constant(method.toUpperCase()), path: paths, body: bodies }),
      };
    }),
  );
}

function mutated(values: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  return fc
    .tuple(values, fc.double({ min: 0, max: 1, noNaN: true }), fc.nat(), odd)
    .map(([value, chance, place, other]) => JSON.stringify(chance < 0.35 ? replaceOne(value, place, other) : value));
}

/** The value with one of the values inside it, or itself, replaced. */
function replaceOne(value: unknown, place: number, other: unknown): unknown {
  if (typeof value !== 'object' || value === null) return other;
  const entries = Object.entries(value);
  if (entries.length === 0 || place % 7 === 0) return other;
  const [key, inner] = entries[place % entries.length]!;
  const changed = replaceOne(inner, Math.floor(place / 7), other);
  if (Array.isArray(value)) return value.with(Number(key), changed);
  return { ...value, [key]: changed };
}

function valuesOf(schema: Schema, document: OpenApiDocument, depth: number): fc.Arbitrary<unknown> {
  if (typeof schema.$ref === 'string') {
    const name = schema.$ref.split('/').at(-1)!;
    return valuesOf(document.components?.schemas?.[name] as Schema, document, depth + 1);
  }
  if ('const' in schema) return fc.constant(schema.const);
  if (Array.isArray(schema.enum)) return fc.constantFrom<unknown>(...schema.enum);
  for (const key of ['oneOf', 'anyOf']) {
    const branches = schema[key];
    if (Array.isArray(branches)) return fc.oneof(...branches.map((branch) => valuesOf(branch, document, depth)));
  }
  if (Array.isArray(schema.allOf)) {
    return fc
      .tuple(...schema.allOf.map((part) => valuesOf(part as Schema, document, depth)))
      .map((parts) => Object.assign({}, ...parts));
  }
  const types = [schema.type ?? 'any'].flat() as string[];
  return fc.oneof(...types.map((type) => valuesOfType(type, schema, document, depth)));
}

function valuesOfType(type: string, schema: Schema, document: OpenApiDocument, depth: number): fc.Arbitrary<unknown> {
  switch (type) {
    case 'object':
      return objects(schema, document, depth);
    case 'array':
      return fc.array(valuesOf((schema.items as Schema) ?? {}, document, depth + 1), {
        minLength: Math.min(2, Number(schema.minItems ?? 0)),
        maxLength: depth < MAX_DEPTH ? 3 : 1,
      });
    case 'string':
      return fc.oneof(fc.string({ minLength: 1, maxLength: 12 }), fc.string({ unit: 'grapheme', maxLength: 8 }));
    case 'integer': {
      const { min, max } = range(schema, 0, 40);
      return fc.integer({ min: Math.ceil(min), max: Math.max(Math.ceil(min), Math.floor(max)) });
    }
    case 'number': {
      const { min, max } = range(schema, 0, 2);
      return fc.double({ min, max, noNaN: true });
    }
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    default:
      return odd;
  }
}

/** Small values, within the schema's own bounds. */
function range({ minimum, maximum, exclusiveMinimum }: Schema, low: number, high: number) {
  const above = exclusiveMinimum === undefined ? low : Number(exclusiveMinimum) + 0.1;
  const min = Math.max(low, Number(minimum ?? low), above);
  return { min, max: Math.max(min, Math.min(high, Number(maximum ?? high))) };
}

function objects(schema: Schema, document: OpenApiDocument, depth: number): fc.Arbitrary<unknown> {
  const properties = Object.entries((schema.properties ?? {}) as Record<string, Schema>);
  const required = new Set((schema.required as string[] | undefined) ?? []);
  const fields = properties.filter(([name]) => required.has(name) || depth < MAX_DEPTH);
  if (fields.length === 0) {
    return fc.dictionary(fc.constantFrom('1', '7', 'a', 'type', 'name'), anyOf(schema, document, depth), {
      maxKeys: 3,
    });
  }
  // A few of the optional fields at a time: with all of them at once nearly every request would be wrong somewhere.
  const optional = fields.filter(([name]) => !required.has(name)).map(([name]) => name);
  const model = Object.fromEntries(fields.map(([name, inner]) => [name, valuesOf(inner, document, depth + 1)]));
  // Nearly every other name is unknown, and nothing else of the request would be looked at.
  if ('model' in model) model.model = fc.constantFrom('default', 'default', 'default', 'unknown');
  return fc
    .subarray(optional, { maxLength: Math.min(optional.length, 5) })
    .chain((chosen) =>
      fc.record(
        Object.fromEntries(Object.entries(model).filter(([name]) => required.has(name) || chosen.includes(name))),
      ),
    );
}

function anyOf(schema: Schema, document: OpenApiDocument, depth: number): fc.Arbitrary<unknown> {
  const { additionalProperties } = schema;
  const isSchema = typeof additionalProperties === 'object' && additionalProperties !== null;
  return isSchema ? valuesOf(additionalProperties as Schema, document, depth + 1) : odd;
}
