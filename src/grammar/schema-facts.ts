/** What a JSON Schema says by itself, whatever its subschemas say: types, constants, well-formed keywords. */
import { GrammarError } from './grammar-error.js';
import { ANNOTATIONS, type Schema, type SchemaObject } from './schema-merge.js';

const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] as const;
export type Type = (typeof TYPES)[number];

const ANY_TYPES: readonly Type[] = ['null', 'boolean', 'number', 'string', 'array', 'object'];

/** Keywords by the type they speak of. */
const OF_STRINGS = ['minLength', 'maxLength', 'pattern', 'format'];
const OF_NUMBERS = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'];
const OF_ARRAYS = [
  ...['items', 'prefixItems', 'additionalItems', 'unevaluatedItems', 'minItems', 'maxItems', 'uniqueItems'],
  ...['contains', 'minContains', 'maxContains'],
];
const OF_OBJECTS = [
  ...['properties', 'required', 'additionalProperties', 'patternProperties', 'propertyNames', 'minProperties'],
  ...['maxProperties', 'unevaluatedProperties', 'dependentRequired', 'dependentSchemas', 'dependencies'],
];
export function constraints(schema: SchemaObject): string[] {
  return Object.keys(schema).filter((keyword) => !ANNOTATIONS.has(keyword));
}

/** The types a schema speaks of. Without `type`, those whose keywords it has; without any, all. */
export function typesOf(schema: SchemaObject, path: string): readonly Type[] {
  if (schema.type !== undefined) {
    const types = [schema.type].flat();
    const isKnown = types.every((type) => TYPES.includes(type as Type));
    if (!isKnown || types.length === 0) throw new GrammarError(`must be one of ${TYPES.join(', ')}`, `${path}.type`);
    return types as Type[];
  }
  const has = (keywords: readonly string[]): boolean => keywords.some((keyword) => schema[keyword] !== undefined);
  const spokenOf: Type[] = [];
  if (has(OF_OBJECTS)) spokenOf.push('object');
  if (has(OF_ARRAYS)) spokenOf.push('array');
  if (has(OF_STRINGS)) spokenOf.push('string');
  if (has(OF_NUMBERS)) spokenOf.push('number');
  return spokenOf.length > 0 ? spokenOf : ANY_TYPES;
}

export function typesFor(schema: SchemaObject, values: readonly unknown[] | undefined): readonly string[] | undefined {
  if (values) return values.map((value) => TYPES.find((type) => isOfType(value, type))!);
  return schema.type === undefined ? undefined : ([schema.type].flat() as string[]);
}

export function constantsOf(schema: SchemaObject): readonly unknown[] | undefined {
  return schema.const !== undefined ? [schema.const] : (schema.enum as unknown[] | undefined);
}

export function inBoth(schema: SchemaObject): unknown[] {
  const written = JSON.stringify(schema.const);
  return (schema.enum as unknown[]).filter((value) => JSON.stringify(value) === written);
}

export function isOfType(value: unknown, type: Type): boolean {
  if (type === 'null') return value === null;
  if (type === 'integer') return Number.isInteger(value);
  if (type === 'array') return Array.isArray(value);
  if (type === 'object') return typeof value === 'object' && value !== null && !Array.isArray(value);
  return typeof value === type;
}

export function count(schema: SchemaObject, keyword: string, path: string): number | undefined {
  const value = schema[keyword];
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < 0) {
    throw new GrammarError('must be a whole number of at least 0', `${path}.${keyword}`);
  }
  return value as number;
}

export function checkList(schema: SchemaObject, keyword: string, path: string, mayBeEmpty = false): void {
  const value = schema[keyword];
  if (value === undefined) return;
  if (!Array.isArray(value)) throw new GrammarError('must be a list', `${path}.${keyword}`);
  if (value.length === 0 && !mayBeEmpty) throw new GrammarError('must not be empty', `${path}.${keyword}`);
}

export function checkReference(schema: SchemaObject, path: string): void {
  if (schema.$ref !== undefined && typeof schema.$ref !== 'string') {
    throw new GrammarError('must be a string', `${path}.$ref`);
  }
}

export function asObject(schema: SchemaObject, keyword: string, path: string): Record<string, Schema> {
  const value = schema[keyword];
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new GrammarError('must be an object', `${path}.${keyword}`);
  }
  return value as Record<string, Schema>;
}
