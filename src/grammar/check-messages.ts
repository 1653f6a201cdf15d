import type { GrammarSource } from './compiler.js';
import type { Form } from './form.js';
import type { GrammarText } from './grammar.js';
import type { PackedVocabulary } from './vocabulary.js';

/** To the worker that makes grammars of what clients ask for. */
export interface CheckRequest {
  form: Form;
  textTokens: GrammarSource['textTokens'];
  /** With the first request. */
  vocabulary?: PackedVocabulary;
}

export type CheckReply = { text: GrammarText } | { message: string; path: string } | { fault: string };
