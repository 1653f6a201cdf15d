import { isDeepStrictEqual } from 'node:util';
import { GrammarError } from './grammar-error.js';

/** A JSON Schema that is an object. */
export type SchemaObject = Record<string, unknown>;
export type Schema = boolean | SchemaObject;

/** Keywords that say nothing about what is valid. */
export const ANNOTATIONS: ReadonlySet<string> = new Set([
  ...['title', 'description', 'default', 'examples', 'example', 'deprecated', 'readOnly', 'writeOnly', 'nullable'],
  ...['$comment', '$schema', '$id', 'id', '$defs', 'definitions', '$anchor', '$vocabulary'],
  ...['contentMediaType', 'contentEncoding', 'contentSchema', 'discriminator', 'externalDocs', 'xml', 'strict'],
]);

export interface MergeHooks {
  /** What a `$ref` stands for. */
  resolve(ref: string, path: string): Schema;
  /** A keyword that a grammar cannot have is left out, or refused. */
  unenforced(path: string, keyword: string, why: string): void;
}

/**
 * A schema that accepts what both accept; false: nothing. Each may have further `allOf`, `anyOf` and `$ref`: choices are
 * multiplied out, so that those of the result are all on top.
 */
export function merge(a: Schema, b: Schema, path: string, hooks: MergeHooks, depth = 0): Schema {
  if (depth > 64) throw new GrammarError('the schemas refer to each other without end', path);
  const again = (x: Schema, y: Schema): Schema => merge(x, y, path, hooks, depth + 1);
  if (a === true) return b;
  if (b === true) return a;
  if (a === false || b === false) return false;
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const) {
    if (typeof one.$ref === 'string') {
      const { $ref, ...rest } = one;
      return again(again(hooks.resolve($ref, path), rest), other);
    }
    if (Array.isArray(one.allOf)) {
      const { allOf, ...rest } = one;
      return again(
        (allOf as Schema[]).reduce<Schema>((all, schema) => again(all, schema), rest),
        other,
      );
    }
    for (const keyword of ['anyOf', 'oneOf'] as const) {
      const branches = one[keyword];
      if (!Array.isArray(branches)) continue;
      const { [keyword]: _, ...rest } = one;
      if (branches.length > 256) throw new GrammarError(`there are more than 256 alternatives`, path);
      const merged = (branches as Schema[]).map((branch) => again(again(branch, rest), other));
      return { [keyword]: merged.filter((branch) => branch !== false) };
    }
  }
  return mergePlain(a, b, path, hooks, depth);
}

function mergePlain(a: SchemaObject, b: SchemaObject, path: string, hooks: MergeHooks, depth: number): Schema {
  const merged: SchemaObject = { ...a };
  const both = (x: unknown, y: unknown): Schema =>
    merge((x ?? true) as Schema, (y ?? true) as Schema, path, hooks, depth + 1);
  for (const [keyword, value] of Object.entries(b)) {
    const present = a[keyword];
    if (present === undefined || ANNOTATIONS.has(keyword)) {
      merged[keyword] ??= value;
      continue;
    }
    switch (keyword) {
      case 'type': {
        const types = commonTypes(present, value);
        if (types.length === 0) return false;
        merged.type = types;
        break;
      }
      case 'enum':
        merged.enum = (present as unknown[]).filter((x) => (value as unknown[]).some((y) => isDeepStrictEqual(x, y)));
        break;
      case 'required':
        merged.required = [...new Set([...(present as string[]), ...(value as string[])])];
        break;
      case 'minimum':
      case 'exclusiveMinimum':
      case 'minLength':
      case 'minItems':
      case 'minProperties':
        merged[keyword] = Math.max(present as number, value as number);
        break;
      case 'maximum':
      case 'exclusiveMaximum':
      case 'maxLength':
      case 'maxItems':
      case 'maxProperties':
        merged[keyword] = Math.min(present as number, value as number);
        break;
      case 'items':
      case 'additionalProperties':
      case 'additionalItems':
        merged[keyword] = both(present, value);
        break;
      case 'prefixItems':
        merged[keyword] = Array.from(
          { length: Math.max((present as Schema[]).length, (value as Schema[]).length) },
          (_, i) => both((present as Schema[])[i], (value as Schema[])[i]),
        );
        break;
      case 'properties':
        // Below, with what each says of the other's.
        break;
      default:
        if (!isDeepStrictEqual(present, value)) {
          hooks.unenforced(path, keyword, 'two different values have to hold at once');
        }
    }
  }
  if (a.properties !== undefined && b.properties !== undefined) {
    const [ofA, ofB] = [a.properties as Record<string, Schema>, b.properties as Record<string, Schema>];
    const names = [...new Set([...Object.keys(ofA), ...Object.keys(ofB)])];
    merged.properties = Object.fromEntries(
      names.map((name) => [
        name,
        both(ownOr(ofA, name, a.additionalProperties), ownOr(ofB, name, b.additionalProperties)),
      ]),
    );
  } else if (merged.properties !== undefined) {
    const other = a.properties === undefined ? a : b;
    const rest = other.additionalProperties;
    if (rest !== undefined) {
      merged.properties = Object.fromEntries(
        Object.entries(merged.properties as Record<string, Schema>).map(([name, schema]) => [name, both(schema, rest)]),
      );
    }
  }
  return merged;
}

function ownOr(properties: Record<string, Schema>, name: string, otherwise: unknown): unknown {
  return Object.hasOwn(properties, name) ? properties[name] : otherwise;
}

function commonTypes(a: unknown, b: unknown): string[] {
  const [ofA, ofB] = [[a].flat() as string[], [b].flat() as string[]];
  const accepts = (types: string[], type: string): boolean =>
    types.includes(type) || (type === 'integer' && types.includes('number'));
  return [...new Set([...ofA, ...ofB])].filter((type) => accepts(ofA, type) && accepts(ofB, type));
}
