import { literal } from './ebnf.js';
import type { LengthBounds } from './json-string.js';

/**
 * A grammar would need a state for each number of characters that a string may still have, and XGrammar needs up to
 * 70 ms for each of them over a large vocabulary. So such a string is one symbol of the grammar: a text that is no
 * model's token, but one of these, which are added to every vocabulary. What stands between its quotes is counted by
 * `CountedString`.
 *
 * They begin with a control character, which is no part of JSON, and which no token of the model may write here. Where any text may stand, they may stand as well: then
 * the first one may, which is in no grammar.
 */
export const SYMBOL_TEXTS: readonly string[] = [
  '\u0001\u0001',
  // XGrammar writes the control character as `\x01`, which a digit would go on with.
  ...Array.from("ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ!#$%&'()*+,-./:;<=>?@_~", (char) => `\u0001${char}`),
];

/** The byte that all of them begin with. */
export const SYMBOL_START = 1;

/** The symbols of one grammar. */
export class LengthSymbols {
  /** What the symbols stand for; the first one for the second of {@link SYMBOL_TEXTS}, and so on. */
  readonly bounds: LengthBounds[];

  /** @param bounds What the first symbols stand for already. */
  constructor(bounds: readonly LengthBounds[] = []) {
    this.bounds = [...bounds];
  }

  /** EBNF of the contents of strings within bounds; undefined: there are too many different ones. */
  symbolFor(bounds: LengthBounds): string | undefined {
    let index = this.bounds.findIndex(({ least, most }) => least === bounds.least && most === bounds.most);
    if (index < 0) index = this.bounds.push(bounds) - 1;
    const text = SYMBOL_TEXTS[index + 1];
    if (text === undefined) this.bounds.pop();
    return text && literal(text);
  }
}
