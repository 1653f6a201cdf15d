/** A grammar of what may be generated. */
export interface Grammar {
  /** EBNF as XGrammar reads it; begins with its rule `root`. */
  ebnf: string;
  /** Special tokens that stand for their text in this grammar; no other special token is ever allowed by it. */
  textTokens: readonly number[];
}
