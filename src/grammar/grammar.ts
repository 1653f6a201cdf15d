import type { LengthBounds } from './json-string.js';

/** A grammar of what may be generated, whatever the vocabulary. */
export interface GrammarText {
  /** EBNF as XGrammar reads it; begins with its rule `root`. */
  ebnf: string;
  /** What its symbols of `SYMBOL_TEXTS` stand for, in their order, without the first. */
  lengths: readonly LengthBounds[];
}

/** A grammar of what may be generated. */
export interface Grammar extends GrammarText {
  /** Special tokens that stand for their text in this grammar; no other special token is ever allowed by it. */
  textTokens: readonly number[];
}
