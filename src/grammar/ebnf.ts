import { GrammarError } from './grammar-error.js';

/**
 * Pieces of EBNF as XGrammar reads it.
 *
 * XGrammar makes an automaton of each choice, and while it does, it may take two ways on for one when several
 * alternatives begin alike: `"bc" | "xac" | "xad"` matches `bd`. So alternatives here begin with different bytes, or are
 * rules that refer to a rule, which XGrammar leaves alone.
 */

/** Where rules go that a piece needs besides itself. */
export class Rules {
  private readonly bodies = new Map<string, string>();

  /** The name of a rule that matches what `body` does, and that no choice is merged with. */
  separate(body: string): string {
    const known = this.bodies.get(body);
    if (known !== undefined) return known;
    const name = `r${this.bodies.size}`;
    this.bodies.set(body, name);
    return name;
  }

  /** The text of a grammar with this root. */
  grammar(root: string, further: readonly string[] = []): string {
    const separate = [...this.bodies].map(([body, name]) => `${name} ::= (${body}) nothing`);
    return [`root ::= ${root}`, ...further, ...separate, 'nothing ::= ""'].join('\n');
  }

  /** A grammar's text with these rules, if there are any, under names that it does not use. */
  appendTo(ebnf: string, names: ReadonlySet<string>): string {
    if (this.bodies.size === 0) return ebnf;
    if ([...this.bodies.values(), 'nothing'].some((name) => names.has(name))) {
      throw new GrammarError('rules must not be called `nothing`, or `r` and a number');
    }
    return `${ebnf}\n${this.grammar('').split('\n').slice(1).join('\n')}`;
  }

  /** One of several texts. */
  texts(texts: readonly string[]): string {
    const byFirst = new Map<string, string[]>();
    for (const text of new Set(texts)) {
      const [first = ''] = text;
      byFirst.set(first, [...(byFirst.get(first) ?? []), text.slice(first.length)]);
    }
    const ways = [...byFirst].map(([first, rests]) => {
      if (first === '') return '""';
      let shared = '';
      while (rests.every((rest) => rest !== '' && rest[shared.length] === rests[0]![shared.length])) {
        if (rests[0]!.length === shared.length) break;
        shared += rests[0]![shared.length];
      }
      // Not half of a surrogate pair.
      if (/[\uD800-\uDBFF]$/.test(shared)) shared = shared.slice(0, -1);
      const after = this.texts(rests.map((rest) => rest.slice(shared.length)));
      return [this.character(first), shared && literal(shared), after === '""' ? '' : after].filter(Boolean).join(' ');
    });
    return anyOf(ways);
  }

  /** One character, of which no other may begin with the same byte in a choice. */
  character(char: string): string {
    return char.codePointAt(0)! < 0x80 ? literal(char) : this.separate(literal(char));
  }
}

/** A string that matches this text. @throws GrammarError for half a character, which no text has */
export function literal(text: string): string {
  let escaped = '';
  for (const char of text) escaped += char === '"' ? '\\"' : escapeChar(char);
  return `"${escaped}"`;
}

export function anyOf(alternatives: readonly string[]): string {
  return alternatives.length === 1 ? alternatives[0]! : `(${alternatives.join(' | ')})`;
}

/** @param most Infinity: any number */
export function repeat(element: string, least: number, most: number): string {
  if (least === 1 && most === 1) return element;
  if (most === 0) return '""';
  if (least === 0 && most === 1) return `(${element})?`;
  if (most !== Number.POSITIVE_INFINITY) return `(${element}){${least},${most}}`;
  if (least === 0) return `(${element})*`;
  return least === 1 ? `(${element})+` : `(${element}){${least},}`;
}

/** Characters that a string or a class can have as they are stand for themselves. */
function escapeChar(char: string): string {
  const code = char.codePointAt(0)!;
  if (code >= 0xd800 && code <= 0xdfff) throw new GrammarError('it has half a character in it: a lone surrogate');
  if (code >= 0x20 && code < 0x7f) return char === '\\' ? '\\\\' : char;
  return code <= 0xffff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
}

/**
 * A class of ASCII characters. XGrammar's classes know no others, but for a negated one, which has them all.
 * @param codes ascending
 */
export function asciiClass(codes: readonly number[], negated = false): string {
  let ranges = '';
  for (let i = 0; i < codes.length; i++) {
    const first = codes[i]!;
    while (codes[i + 1] === codes[i]! + 1) i++;
    const last = codes[i]!;
    ranges += first === last ? inClass(first) : `${inClass(first)}-${inClass(last)}`;
  }
  return `[${negated ? '^' : ''}${ranges}]`;
}

function inClass(code: number): string {
  const char = String.fromCharCode(code);
  return /[a-zA-Z0-9_ ]/.test(char) ? char : `\\u${code.toString(16).padStart(4, '0')}`;
}
