import { charClass, charSetOf } from './char-set.js';
import { anyOf, asciiClass, literal, Rules, repeat } from './ebnf.js';
import type { GrammarText } from './grammar.js';
import { GrammarError } from './grammar-error.js';
import { FORMATS } from './json-format.js';
import {
  ANY_INTEGER,
  ANY_NUMBER,
  type Bounds,
  integersWithin,
  isBounded,
  multiplesWithin,
  numbersWithin,
} from './json-number.js';
import { LengthSymbols } from './length-symbols.js';
import { regexToEbnf } from './regex.js';
import {
  asObject,
  checkList,
  checkReference,
  constantsOf,
  constraints,
  count,
  inBoth,
  isOfType,
  type Type,
  typesFor,
  typesOf,
} from './schema-facts.js';
import { type MergeHooks, merge, type Schema, type SchemaObject } from './schema-merge.js';

export interface JsonSchemaOptions {
  /** Refuse what cannot be enforced, instead of leaving it out. */
  strict: boolean;
  /** Receives the lengths of strings. */
  symbols: LengthSymbols;
}

/**
 * EBNF, with a rule `root`, of JSON texts that are valid under a schema. Not always of all of them: properties come in
 * the order of the schema, there are no others unless it says so, a pattern is one of the whole string.
 *
 * XGrammar has a conversion of its own, which leaves out what it does not know, writes names and patterns into JSON as
 * they are, and lets additional properties repeat declared ones; so an answer would not always be valid.
 *
 * @throws GrammarError with the path of what is wrong, cannot be satisfied, or cannot be enforced
 */
export function jsonSchemaToEbnf(schema: unknown, options: JsonSchemaOptions): string {
  try {
    return new Conversion(schema as Schema, options).grammar();
  } catch (error) {
    if (error instanceof RangeError) throw new GrammarError('the schema is nested too deeply');
    throw error;
  }
}

/** The grammar of JSON texts that are valid under a schema. @throws GrammarError as {@link jsonSchemaToEbnf} does */
export function jsonSchemaGrammar(schema: unknown, { strict }: { strict: boolean }): GrammarText {
  const symbols = new LengthSymbols();
  return { ebnf: jsonSchemaToEbnf(schema, { strict, symbols }), lengths: symbols.bounds };
}

const NEVER_ENFORCED = ['not', 'if', 'then', 'else', '$dynamicRef', '$recursiveRef'];

/** Most values to write out for `multipleOf`. */
const MOST_MULTIPLES = 1000;
const MOST_RULES = 20_000;

/**
 * One run of spaces, or a line break and an indentation. A small model that may put any number of spaces anywhere sometimes
 * does.
 */
const SPACE = '"" | " " | "\\n" [ \\t]{0,16}';
/** No escape of half a surrogate pair, so that each escape is one character. */
const PLAIN = '[^\\u0000-\\u001f\\u0022\\u005c]';
const ESCAPE = '"\\\\" ([\\u0022\\u005c/bfnrt] | "u" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))';
/** What follows a string within JSON. XGrammar then need not try, at each step anew, tokens that begin with its end. */
const AFTER_STRING = '(=([ \\n\\t]* [,}\\]:]))';

const BASIC_RULES: Readonly<Record<string, string>> = {
  space: SPACE,
  character: `${PLAIN} | ${ESCAPE}`,
  string: '"\\"" string_rest',
  string_rest: `("\\"" | ${PLAIN} string_rest | ${ESCAPE} string_rest) ${AFTER_STRING}`,
  number: ANY_NUMBER,
  integer: ANY_INTEGER,
  boolean: '"true" | "false"',
  null: '"null"',
  value: 'string | number | object | array | boolean | null',
  array: '"[" space (value ("," space value)* space)? "]"',
  object: '"{" space (member ("," space member)* space)? "}"',
  member: 'string ":" space value',
};

class Conversion {
  private readonly root: Schema;
  private readonly strict: boolean;
  private readonly symbols: LengthSymbols;
  private readonly rules: string[] = [];
  private readonly separate = new Rules();
  /** Rules of schemas that were met before, by their JSON. */
  private readonly named = new Map<string, string>();
  private readonly hooks: MergeHooks = {
    resolve: (ref, path) => this.resolve(ref, path),
    unenforced: (path, keyword, why) => this.unenforced(path, keyword, why),
  };

  constructor(root: Schema, { strict, symbols }: JsonSchemaOptions) {
    this.root = root;
    this.strict = strict;
    this.symbols = symbols;
  }

  grammar(): string {
    const root = this.value(this.root, '');
    const basics = Object.entries(BASIC_RULES).map(([name, body]) => `${name} ::= ${body}`);
    return this.separate.grammar(root, [...this.rules, ...basics]);
  }

  /** The name of a rule for the values of a schema. */
  private value(schema: Schema, path: string): string {
    if (schema === true) return 'value';
    if (schema === false) throw new GrammarError('nothing is valid here', path);
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
      throw new GrammarError('must be an object or a boolean', path);
    }
    if (typeof schema.$ref === 'string' && constraints(schema).length === 1) {
      const target = this.resolve(schema.$ref, path);
      return this.once(`$ref ${schema.$ref}`, () => this.value(target, `${path}.$ref`));
    }
    return this.once(JSON.stringify(schema), () => this.valueOf(schema, path));
  }

  /** The rule for a key, which is made when it is first asked for and may be part of itself. */
  private once(key: string, body: () => string): string {
    const known = this.named.get(key);
    if (known !== undefined) return known;
    const name = `v${this.named.size}`;
    this.named.set(key, name);
    this.rule(name, `(${body()}) nothing`);
    return name;
  }

  private rule(name: string, body: string): void {
    if (this.rules.push(`${name} ::= ${body}`) > MOST_RULES) throw new GrammarError('the schema is too large');
  }

  private valueOf(schema: SchemaObject, path: string): string {
    if (schema.$ref !== undefined || schema.allOf !== undefined) {
      checkReference(schema, path);
      checkList(schema, 'allOf', path);
      const { $ref, allOf, ...rest } = schema;
      const parts: Schema[] = [...((allOf as Schema[] | undefined) ?? []), rest];
      if ($ref !== undefined) parts.unshift({ $ref });
      return this.value(this.mergeAll(parts, path), path);
    }
    for (const keyword of ['anyOf', 'oneOf'] as const) {
      if (schema[keyword] === undefined) continue;
      checkList(schema, keyword, path);
      return this.choice(schema, keyword, path);
    }
    for (const keyword of NEVER_ENFORCED) if (schema[keyword] !== undefined) this.unenforced(path, keyword);
    if (schema.const !== undefined) return this.constants([schema.const], schema, `${path}.const`);
    if (schema.enum !== undefined) {
      checkList(schema, 'enum', path);
      return this.constants(schema.enum as unknown[], schema, `${path}.enum`);
    }
    const types = typesOf(schema, path).map((type) => this.typed(type, schema, path));
    return types.length === 1 ? types[0]! : anyOf(types.map((type) => this.separate.separate(type)));
  }

  private mergeAll(schemas: readonly Schema[], path: string): Schema {
    const merged = schemas.reduce<Schema>((all, schema) => merge(all, schema, path, this.hooks), true);
    if (merged === false) throw new GrammarError('nothing is valid here', path);
    return merged;
  }

  private choice(schema: SchemaObject, keyword: 'anyOf' | 'oneOf', path: string): string {
    const { [keyword]: branches, ...rest } = schema;
    const hasMore = constraints(rest).length > 0;
    const alternatives: Schema[] = [];
    const places: string[] = [];
    for (const [i, branch] of (branches as Schema[]).entries()) {
      const merged = hasMore ? merge(branch, rest, `${path}.${keyword}[${i}]`, this.hooks) : branch;
      if (merged === false) continue;
      alternatives.push(merged);
      places.push(`${path}.${keyword}[${i}]`);
    }
    if (alternatives.length === 0) throw new GrammarError('nothing is valid here', `${path}.${keyword}`);
    if (keyword === 'oneOf' && !this.areDisjoint(alternatives, path)) {
      this.unenforced(path, 'oneOf', 'a value may match several of its schemas; use anyOf');
    }
    return anyOf(alternatives.map((alternative, i) => this.value(alternative, places[i]!)));
  }

  private constants(values: readonly unknown[], schema: SchemaObject, path: string): string {
    const types = schema.type === undefined ? undefined : typesOf(schema, path);
    for (const keyword of constraints(schema)) {
      if (!['const', 'enum', 'type', ...NEVER_ENFORCED].includes(keyword)) {
        this.unenforced(path.replace(/\.\w+$/, ''), keyword, 'together with enum or const');
      }
    }
    const allowed = [...(schema.const !== undefined && schema.enum !== undefined ? inBoth(schema) : values)].filter(
      (value) => types === undefined || types.some((type) => isOfType(value, type)),
    );
    if (allowed.length === 0) throw new GrammarError('there is no valid value', path);
    return this.separate.texts(allowed.map((value) => JSON.stringify(value)));
  }

  private typed(type: Type, schema: SchemaObject, path: string): string {
    switch (type) {
      case 'null':
      case 'boolean':
        return type;
      case 'integer':
      case 'number':
        return this.number(type, schema, path);
      case 'string':
        return this.string(schema, path);
      case 'array':
        return this.array(schema, path);
      case 'object':
        return this.object(schema, path);
    }
  }

  private number(type: 'integer' | 'number', schema: SchemaObject, path: string): string {
    const bounds: Bounds = {};
    for (const keyword of ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'] as const) {
      const value = schema[keyword];
      if (value === undefined) continue;
      if (typeof value !== 'number') throw new GrammarError('must be a number', `${path}.${keyword}`);
      if (Math.abs(value) < 1e15) bounds[keyword] = value;
      else if (value > 0 === keyword.endsWith('inimum')) this.unenforced(path, keyword, 'the number is too large');
    }
    const step = schema.multipleOf;
    if (step !== undefined && step !== 1) {
      const multiples = Number.isSafeInteger(step)
        ? multiplesWithin(bounds, Math.abs(step as number), MOST_MULTIPLES, this.separate)
        : undefined;
      if (multiples !== undefined) return multiples;
      this.unenforced(path, 'multipleOf', 'except for up to 1000 integers between a minimum and a maximum');
    }
    const isInteger = type === 'integer' || step === 1;
    if (!isBounded(bounds)) return isInteger ? 'integer' : 'number';
    const numbers = isInteger ? integersWithin(bounds, this.separate) : numbersWithin(bounds, this.separate);
    if (numbers === undefined) throw new GrammarError('there is no such number', path);
    return numbers;
  }

  private string(schema: SchemaObject, path: string): string {
    const least = count(schema, 'minLength', path) ?? 0;
    const most = count(schema, 'maxLength', path) ?? Number.POSITIVE_INFINITY;
    if (least > most) throw new GrammarError('minLength is more than maxLength', path);
    const { pattern, format } = schema;
    if (pattern !== undefined && typeof pattern !== 'string') {
      throw new GrammarError('must be a string', `${path}.pattern`);
    }
    if (pattern !== undefined) {
      if (format !== undefined) this.unenforced(path, 'format', 'together with pattern');
      if (least > 0) this.unenforced(path, 'minLength', 'together with pattern');
      if (most !== Number.POSITIVE_INFINITY) this.unenforced(path, 'maxLength', 'together with pattern');
      const content = this.tryPattern(pattern, path, 'pattern');
      if (content !== undefined) return `"\\"" ${content} "\\""`;
    } else if (format !== undefined) {
      const known = typeof format === 'string' && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
      if (known === undefined) this.unenforced(path, 'format', `known are ${Object.keys(FORMATS).join(', ')}`);
      else {
        if (least > 0) this.unenforced(path, 'minLength', 'together with format');
        if (most !== Number.POSITIVE_INFINITY) this.unenforced(path, 'maxLength', 'together with format');
        return `"\\"" ${regexToEbnf(known, 'json', this.separate)} "\\""`;
      }
    }
    if (least === 0 && most === Number.POSITIVE_INFINITY) return 'string';
    const symbol = this.symbols.symbolFor({ least, most });
    if (symbol === undefined) return `"\\"" ${repeat('character', least, most)} "\\""`;
    return least === 0 ? `"\\"" (${symbol} "\\"" | "\\"")` : `"\\"" ${symbol} "\\""`;
  }

  /** Content of strings that match; undefined when that cannot be enforced. */
  private tryPattern(pattern: string, path: string, keyword: string): string | undefined {
    try {
      return regexToEbnf(pattern, 'json', this.separate);
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      if (error.message.startsWith('is not')) throw new GrammarError(error.message, `${path}.${keyword}`);
      this.unenforced(path, keyword, error.message);
      return undefined;
    }
  }

  private array(schema: SchemaObject, path: string): string {
    const tuple = Array.isArray(schema.items) ? 'items' : 'prefixItems';
    checkList(schema, tuple, path, true);
    const first = (schema[tuple] as Schema[] | undefined) ?? [];
    const restKeyword =
      tuple === 'items' ? 'additionalItems' : schema.items !== undefined ? 'items' : 'unevaluatedItems';
    const least = count(schema, 'minItems', path) ?? 0;
    const most = count(schema, 'maxItems', path) ?? Number.POSITIVE_INFINITY;
    if (least > most) throw new GrammarError('minItems is more than maxItems', path);
    // Nothing said of further items: any, if nothing is said of the first ones either or there have to be some.
    const rest = (schema[restKeyword] as Schema | undefined) ?? (first.length === 0 || least > first.length);
    if (schema.uniqueItems === true && most > 1) this.unenforced(path, 'uniqueItems');
    if (schema.contains !== undefined) this.unenforced(path, 'contains');

    const items = first.slice(0, most).map((item, i) => this.value(item, `${path}.${tuple}[${i}]`));
    if (rest === false || items.length >= most) {
      if (items.length < least) throw new GrammarError('minItems is more than the items there can be', path);
      return list('[', items, ']');
    }
    const further = this.value(rest, `${path}.${restKeyword}`);
    const [fewest, greatest] = [Math.max(0, least - items.length), most - items.length];
    if (items.length > 0) {
      return `"[" space ${items.join(' "," space ')} ${repeat(`"," space ${further}`, fewest, greatest)} space "]"`;
    }
    const some = `${further} ${repeat(`"," space ${further}`, Math.max(0, fewest - 1), greatest - 1)} space`;
    return `"[" space ${fewest === 0 ? `(${some})?` : some} "]"`;
  }

  private object(schema: SchemaObject, path: string): string {
    const declared = asObject(schema, 'properties', path);
    const patterns = Object.entries(asObject(schema, 'patternProperties', path));
    checkList(schema, 'required', path, true);
    const required = new Set((schema.required as string[] | undefined) ?? []);
    for (const keyword of ['dependentRequired', 'dependentSchemas', 'dependencies']) {
      if (schema[keyword] !== undefined) this.unenforced(path, keyword);
    }
    const isOpenBySilence = schema.properties === undefined && patterns.length === 0;
    const additional = (schema.additionalProperties ?? schema.unevaluatedProperties ?? isOpenBySilence) as Schema;

    const properties = new Map<string, { schema: Schema; path: string }>();
    for (const [name, property] of Object.entries(declared)) {
      if (property !== false) properties.set(name, { schema: property, path: `${path}.properties.${name}` });
      else if (required.has(name))
        throw new GrammarError('is required, but nothing is valid', `${path}.properties.${name}`);
    }
    for (const name of required) {
      if (typeof name !== 'string') throw new GrammarError('must be a list of strings', `${path}.required`);
      if (properties.has(name)) continue;
      if (schema.additionalProperties === false) {
        throw new GrammarError(`\`${name}\` is required, but no such property is allowed`, `${path}.required`);
      }
      properties.set(name, { schema: (schema.additionalProperties as Schema) ?? true, path: `${path}.required` });
    }

    const further = this.furtherMembers({ schema, path, additional, patterns, names: [...properties.keys()] });
    const most = count(schema, 'maxProperties', path) ?? Number.POSITIVE_INFINITY;
    let least = count(schema, 'minProperties', path) ?? 0;
    if (least > most) throw new GrammarError('minProperties is more than maxProperties', path);
    if (least <= required.size) least = 0;
    else if (further !== undefined) {
      // Further properties may repeat each other, and count once then.
      this.unenforced(path, 'minProperties', 'where additional properties are allowed');
      least = 0;
    }
    const members = this.members(properties, required, further, least, most);
    if (members === undefined) throw new GrammarError('no number of properties is valid', path);
    return members === '""' ? '"{" space "}"' : `"{" space ${members} space "}"`;
  }

  /** EBNF of a member of an object that is not declared; undefined: there is none. */
  private furtherMembers({ schema, path, additional, patterns, names }: FurtherMembers): string | undefined {
    if (patterns.length > 0) {
      const [pattern, value] = patterns[0]!;
      const test = patterns.length === 1 ? toRegExp(pattern) : undefined;
      const clash = names.find((name) => test?.test(name));
      if (patterns.length > 1) this.unenforced(path, 'patternProperties', 'there is more than one pattern');
      else if (clash !== undefined) this.unenforced(path, 'patternProperties', `\`${clash}\` is declared and matches`);
      if (schema.propertyNames !== undefined) this.unenforced(path, 'propertyNames', 'together with patternProperties');
      if (value === false) return undefined;
      const key = this.tryPattern(pattern, path, 'patternProperties');
      if (key === undefined) return undefined;
      const spoken = this.value(value, `${path}.patternProperties[${JSON.stringify(pattern)}]`);
      return `"\\"" ${key} "\\":" space ${spoken}`;
    }
    if (additional === false) return undefined;
    const value = this.value(additional, `${path}.additionalProperties`);
    if (schema.propertyNames !== undefined) {
      if (names.length > 0) this.unenforced(path, 'propertyNames', 'together with properties');
      else
        return `${this.value({ type: 'string', ...(schema.propertyNames as SchemaObject) }, `${path}.propertyNames`)} ":" space ${value}`;
    }
    return `${names.length === 0 ? 'string' : this.keyOtherThan(names)} ":" space ${value}`;
  }

  /** A rule for keys that are none of the names: a tree of their characters, left wherever a key goes another way. */
  private keyOtherThan(names: readonly string[]): string {
    return this.once(`key other than ${JSON.stringify(names)}`, () => {
      const plain = charSetOf('[^"\\\\\\x00-\\x1f]');
      const anything = charClass(plain, 'text', this.separate);
      const node = (endings: readonly string[]): string => {
        const next = new Map<string, string[]>();
        for (const ending of endings) {
          const [char] = ending;
          if (char !== undefined) next.set(char, [...(next.get(char) ?? []), ending.slice(char.length)]);
        }
        const taken = new Set([...next.keys()].map((char) => char.codePointAt(0)!));
        const free = plain.ascii.filter((code) => !taken.has(code));
        const isAsciiOnly = [...taken].some((code) => code > 127);
        const other = isAsciiOnly ? asciiClass(free) : charClass({ ascii: free, others: 'all' }, 'text', this.separate);
        const ways = [`${other} ${anything}*`];
        if (!endings.includes('')) ways.push('""');
        // Names that only an escape could write are never met.
        for (const [char, rest] of next) {
          if (literal(JSON.stringify(char)) === literal(`"${char}"`))
            ways.push(`${this.separate.character(char)} ${node(rest)}`);
        }
        return anyOf(ways);
      };
      return `"\\"" ${node(names)} "\\""`;
    });
  }

  /** EBNF of an object's members and the commas between them; undefined: it can have none. */
  private members(
    properties: ReadonlyMap<string, { schema: Schema; path: string }>,
    required: ReadonlySet<string>,
    further: string | undefined,
    least: number,
    most: number,
  ): string | undefined {
    const counts = least > 0 || most !== Number.POSITIVE_INFINITY;
    const entries = [...properties].map(([name, { schema, path }]) => ({
      isRequired: required.has(name),
      member: `${literal(`${JSON.stringify(name)}:`)} space ${this.value(schema, path)}`,
    }));
    const prefix = `m${this.rules.length}`;
    const known = new Map<string, string | undefined>();

    /** Members from the i-th on, after so many. */
    const from = (i: number, before: number, isFirst: boolean): string | undefined => {
      const key = `${prefix}_${i}_${counts ? before : 0}_${isFirst ? 'first' : 'next'}`;
      if (known.has(key)) return known.get(key);
      const body = bodyFrom(i, before, isFirst);
      const isShort = body === undefined || body === '""';
      if (!isShort) this.rule(key, body);
      known.set(key, isShort ? body : key);
      return known.get(key);
    };
    const bodyFrom = (i: number, before: number, isFirst: boolean): string | undefined => {
      const entry = entries[i];
      if (entry === undefined) return furtherFrom(before, isFirst);
      const ways: string[] = [];
      if (before < most) {
        const rest = from(i + 1, before + 1, false);
        if (rest !== undefined)
          ways.push(`${isFirst ? '' : '"," space '}${entry.member}${rest === '""' ? '' : ` ${rest}`}`);
      }
      if (!entry.isRequired) {
        const without = from(i + 1, before, isFirst);
        if (without !== undefined) ways.push(without);
      }
      return ways.length === 0 ? undefined : ways.join(' | ');
    };
    const furtherFrom = (before: number, isFirst: boolean): string | undefined => {
      if (further === undefined || before >= most) return before < least ? undefined : '""';
      const fewest = Math.max(0, least - before);
      const greatest = most - before;
      if (!isFirst) return repeat(`"," space ${further}`, fewest, greatest);
      const some = `${further} ${repeat(`"," space ${further}`, Math.max(0, fewest - 1), greatest - 1)}`;
      return fewest === 0 ? `(${some})?` : some;
    };
    return from(0, 0, true);
  }

  private resolve(ref: string, path: string): Schema {
    const place = `${path}.$ref`;
    if (!ref.startsWith('#')) throw new GrammarError('only references within the schema are supported (#/…)', place);
    let target: unknown = this.root;
    for (const part of ref.slice(1).split('/').slice(1)) {
      const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
      if (typeof target !== 'object' || target === null || !Object.hasOwn(target, key)) {
        throw new GrammarError(`${ref} does not exist`, place);
      }
      target = (target as Record<string, unknown>)[key];
    }
    if (ref !== '#' && !ref.startsWith('#/')) throw new GrammarError(`${ref} does not exist`, place);
    return target as Schema;
  }

  private unenforced(path: string, keyword: string, why?: string): void {
    if (!this.strict) return;
    const reason = why === undefined ? '' : ` (${why})`;
    throw new GrammarError(
      `cannot be enforced${reason}: leave it out, or set \`strict\` to false`,
      `${path}.${keyword}`,
    );
  }

  /** Whether no value can match two of the schemas, as far as can be seen. */
  private areDisjoint(schemas: readonly Schema[], path: string): boolean {
    const shapes = schemas.map((schema) => this.shapeOf(schema, path, 0));
    return shapes.every((a, i) => shapes.slice(i + 1).every((b) => this.differ(a, b, path, 0)));
  }

  private shapeOf(schema: Schema, path: string, depth: number): Schema {
    if (typeof schema !== 'object' || depth > 16) return schema;
    if (typeof schema.$ref === 'string') return this.shapeOf(this.resolve(schema.$ref, path), path, depth + 1);
    return schema;
  }

  private differ(a: Schema, b: Schema, path: string, depth: number): boolean {
    if (typeof a !== 'object' || typeof b !== 'object' || depth > 8) return a === false || b === false;
    const [valuesA, valuesB] = [constantsOf(a), constantsOf(b)];
    if (valuesA && valuesB) {
      const written = new Set(valuesA.map((value) => JSON.stringify(value)));
      return !valuesB.some((value) => written.has(JSON.stringify(value)));
    }
    const [typesA, typesB] = [typesFor(a, valuesA), typesFor(b, valuesB)];
    if (typesA === undefined || typesB === undefined) return false;
    const overlap = typesA.some((x) =>
      typesB.some((y) => x === y || [x, y].every((t) => t === 'integer' || t === 'number')),
    );
    if (!overlap) return true;
    const common = ((a.required as string[] | undefined) ?? []).filter((name) =>
      ((b.required as string[] | undefined) ?? []).includes(name),
    );
    return common.some((name) => {
      const [ofA, ofB] = [a, b].map((schema) => (schema.properties as Record<string, Schema> | undefined)?.[name]);
      if (ofA === undefined || ofB === undefined) return false;
      const shapes = [this.shapeOf(ofA, path, 0), this.shapeOf(ofB, path, 0)] as const;
      return typesA.length === 1 && typesB.length === 1 && this.differ(...shapes, path, depth + 1);
    });
  }
}

interface FurtherMembers {
  schema: SchemaObject;
  path: string;
  additional: Schema;
  patterns: readonly [string, Schema][];
  names: readonly string[];
}

function toRegExp(pattern: string): RegExp | undefined {
  try {
    return new RegExp(pattern, 'u');
  } catch {
    return undefined;
  }
}

function list(open: string, items: readonly string[], close: string): string {
  return items.length === 0
    ? `"${open}" space "${close}"`
    : `"${open}" space ${items.join(' "," space ')} space "${close}"`;
}
