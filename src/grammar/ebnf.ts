/** Pieces of EBNF as XGrammar reads it. */

/** A string that matches this text. */
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
