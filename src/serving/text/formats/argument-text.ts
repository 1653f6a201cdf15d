import type { ToolDefinition } from '../../types.js';
import { parseJson } from './json-reader.js';

/**
 * An argument as JSON text, given the text that a model wrote without telling of what type it is: the tool's schema
 * does. What does not fit the schema is a string.
 */
export function argumentText(text: string, tool: ToolDefinition | undefined, argument: string): string {
  const types = typesOf(propertySchema(tool?.parameters, argument));
  const json = PYTHON_WORDS.get(text.trim()) ?? text.trim();
  const value = parseJson(json);
  if (value === undefined) return JSON.stringify(text);
  const fits = types.size === 0 || typeNames(value).some((type) => types.has(type));
  return fits && !(typeof value === 'string' && types.has('string')) ? json : JSON.stringify(text);
}

const PYTHON_WORDS = new Map([
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
]);

function propertySchema(schema: Record<string, unknown> | undefined, property: string): unknown {
  const properties = schema?.properties;
  return isObject(properties) && Object.hasOwn(properties, property) ? properties[property] : undefined;
}

/** JSON Schema's names of the types that a schema allows; empty: any. */
function typesOf(schema: unknown): Set<string> {
  if (!isObject(schema)) return new Set();
  const { type, anyOf, oneOf, const: constant } = schema;
  const values = constant === undefined ? schema.enum : [constant];
  if (typeof type === 'string') return new Set([type]);
  if (Array.isArray(type)) return new Set(type);
  if (Array.isArray(values)) return new Set(values.flatMap(typeNames));
  const choices = [anyOf, oneOf].filter(Array.isArray).flat().map(typesOf);
  return choices.some((types) => types.size === 0) ? new Set() : new Set(choices.flatMap((types) => [...types]));
}

function typeNames(value: unknown): string[] {
  if (value === null) return ['null'];
  if (Array.isArray(value)) return ['array'];
  if (typeof value === 'number') return Number.isInteger(value) ? ['integer', 'number'] : ['number'];
  return [typeof value];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
