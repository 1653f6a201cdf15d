import { anyOf, asciiClass, literal, type Rules } from './ebnf.js';
import { GrammarError } from './grammar-error.js';

/** Characters, as ECMAScript's regular expressions tell them apart. */
export interface CharSet {
  /** Codes below 128, ascending. */
  ascii: readonly number[];
  /** All characters beyond ASCII, or these. */
  others: 'all' | readonly string[];
}

/** What characters are written in: as they are, or inside a JSON string. */
export type Writing = 'text' | 'json';

/** Most characters beyond ASCII to write one by one, if it is not all of them. */
const MOST_OTHERS = 512;

let nonAscii: string | undefined;
const known = new Map<string, CharSet>();

/**
 * @param source a regular expression of one character, e.g. `[a-z]` or `\w`; what it means is asked of the engine that
 *   runs it
 * @throws GrammarError when a grammar cannot have this set
 */
export function charSetOf(source: string): CharSet {
  const before = known.get(source);
  if (before !== undefined) return before;
  const pattern = new RegExp(`^${source}$`, 'u');
  const ascii = Array.from({ length: 128 }, (_, code) => code).filter((code) =>
    pattern.test(String.fromCharCode(code)),
  );
  const set = { ascii, others: othersOf(source) };
  if (known.size < 1000) known.set(source, set);
  return set;
}

function othersOf(source: string): CharSet['others'] {
  nonAscii ??= allBeyondAscii();
  const missing = nonAscii.replace(new RegExp(`(?:${source})+`, 'gu'), '');
  // `.` and `\S` have all but spaces and line separators, which no text is the worse for.
  if (missing.length < 64 && /^[\p{White_Space}\uFEFF]*$/u.test(missing)) return 'all';
  const others = (nonAscii.match(new RegExp(source, 'gu')) ?? []) as string[];
  if (others.length <= MOST_OTHERS) return others;
  // All but some: most of what is needed is among the first ones, which are Latin, Greek and Cyrillic.
  if (missing.length <= MOST_OTHERS) return others.slice(0, MOST_OTHERS);
  throw new GrammarError(
    `${source} has ${others.length} characters beyond ASCII; a grammar can have all of them, or up to ${MOST_OTHERS}`,
  );
}

function allBeyondAscii(): string {
  let text = '';
  for (let code = 0x80; code <= 0x10ffff; code++) {
    if (code < 0xd800 || code > 0xdfff) text += String.fromCodePoint(code);
  }
  return text;
}

/** What JSON's short escapes have after the backslash. A control character without one is never written. */
const ESCAPED: Readonly<Record<string, string>> = {
  '"': '"',
  '\\': '\\',
  '\b': 'b',
  '\f': 'f',
  '\n': 'n',
  '\r': 'r',
  '\t': 't',
};

/** EBNF of one character of a set. @throws GrammarError when there is none that could be written */
export function charClass({ ascii, others }: CharSet, writing: Writing, rules: Rules): string {
  const plain = writing === 'text' ? ascii : ascii.filter((code) => code >= 0x20 && code !== 0x22 && code !== 0x5c);
  const alternatives: string[] = [];
  if (others === 'all' && plain.length < 128) {
    const present = new Set(plain);
    const absent = Array.from({ length: 128 }, (_, code) => code).filter((code) => !present.has(code));
    alternatives.push(asciiClass(absent, true));
  } else {
    if (plain.length > 0) alternatives.push(asciiClass(plain));
    if (others === 'all') alternatives.push('[^\\u0000-\\u007f]');
    else alternatives.push(...others.map((char) => rules.character(char)));
  }
  if (writing === 'json') {
    const escapes = ascii.flatMap((code) => ESCAPED[String.fromCharCode(code)] ?? []);
    const codes = escapes.map((char) => char.charCodeAt(0)).sort((a, b) => a - b);
    if (codes.length > 0) alternatives.push(`"\\\\" ${asciiClass(codes)}`);
  }
  if (alternatives.length === 0) throw new GrammarError('a class of characters is empty');
  return anyOf(alternatives);
}

/** EBNF of a text. */
export function written(text: string, writing: Writing): string {
  return literal(writing === 'json' ? JSON.stringify(text).slice(1, -1) : text);
}
