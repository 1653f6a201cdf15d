import type { Reading, TextInput } from './text-input.js';

/** How literals other than JSON's are written. */
export interface LiteralSyntax {
  /** What strings stand between. */
  readonly quotes: readonly string[];
  /** Whether a backslash in a string changes what follows it. */
  readonly escapes: boolean;
}

export const PYTHON: LiteralSyntax = { quotes: ['"', "'"], escapes: true };

/** Deeper literals are no arguments, but an endless row of brackets. */
const DEEPEST = 100;

const WORDS = new Map([
  ['True', 'true'],
  ['False', 'false'],
  ['None', 'null'],
  ['true', 'true'],
  ['false', 'false'],
  ['null', 'null'],
]);

/** Takes a literal: string, number, word, list, tuple or dictionary. @returns it as JSON; undefined: it is none */
export function* readLiteral(input: TextInput, syntax: LiteralSyntax, depth = 0): Reading<string | undefined> {
  if (depth > DEEPEST) return undefined;
  yield* input.skipSpace();
  if (yield* input.accept('[')) return yield* readItems(input, syntax, ']', depth);
  if (yield* input.accept('(')) return yield* readItems(input, syntax, ')', depth);
  if (yield* input.accept('{')) return yield* readMembers(input, syntax, depth);
  const text = yield* readString(input, syntax);
  if (text !== undefined) return JSON.stringify(text);
  const word = yield* readWord(input);
  if (/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?$/.test(word)) return word;
  return WORDS.get(word);
}

/** Takes letters, digits and what numbers have besides; may be none. */
export function* readWord(input: TextInput): Reading<string> {
  const parts: string[] = [];
  yield* input.takeWhile(
    (unit) => /[\w.+-]/.test(unit),
    (text) => parts.push(text),
  );
  return parts.join('');
}

function* readItems(
  input: TextInput,
  syntax: LiteralSyntax,
  closer: string,
  depth: number,
): Reading<string | undefined> {
  const items: string[] = [];
  while (true) {
    yield* input.skipSpace();
    if (yield* input.accept(closer)) return `[${items.join(', ')}]`;
    const item = yield* readLiteral(input, syntax, depth + 1);
    if (item === undefined) return undefined;
    items.push(item);
    yield* input.skipSpace();
    if (!(yield* input.accept(',')) && (yield* input.peek()) !== closer) return undefined;
  }
}

function* readMembers(input: TextInput, syntax: LiteralSyntax, depth: number): Reading<string | undefined> {
  const members: string[] = [];
  while (true) {
    yield* input.skipSpace();
    if (yield* input.accept('}')) return `{${members.join(', ')}}`;
    const key = (yield* readString(input, syntax)) ?? (yield* readWord(input));
    yield* input.skipSpace();
    if (!(yield* input.accept(':'))) return undefined;
    const value = yield* readLiteral(input, syntax, depth + 1);
    if (value === undefined) return undefined;
    members.push(`${JSON.stringify(key)}: ${value}`);
    yield* input.skipSpace();
    if (!(yield* input.accept(',')) && (yield* input.peek()) !== '}') return undefined;
  }
}

function* readString(input: TextInput, { quotes, escapes }: LiteralSyntax): Reading<string | undefined> {
  for (const quote of quotes) {
    if (!(yield* input.accept(quote))) continue;
    const parts: string[] = [];
    const push = (text: string): void => {
      parts.push(text);
    };
    while (true) {
      const found = yield* input.until(escapes ? [quote, '\\'] : [quote], push);
      if (found === undefined) return undefined;
      if (found === quote) return parts.join('');
      parts.push(yield* readEscape(input));
    }
  }
  return undefined;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f', '\n': '' };
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4 };

/** What stands for one character behind a backslash; as in Python, what is no escape is what it looks like. */
function* readEscape(input: TextInput): Reading<string> {
  const unit = yield* takeUnit(input);
  const digits = HEX_DIGITS[unit];
  if (digits !== undefined) {
    let hex = '';
    while (hex.length < digits && /[\da-fA-F]/.test((yield* input.peek()) ?? '')) hex += yield* takeUnit(input);
    return hex.length === digits ? String.fromCharCode(Number.parseInt(hex, 16)) : `\\${unit}${hex}`;
  }
  if (/["'\\]/.test(unit)) return unit;
  return ESCAPES[unit] ?? `\\${unit}`;
}

function* takeUnit(input: TextInput): Reading<string> {
  let taken = '';
  let left = 1;
  yield* input.takeWhile(
    () => left-- > 0,
    (text) => {
      taken += text;
    },
  );
  return taken;
}
