export type { Form } from './form.js';
export type { Grammar } from './grammar.js';
export { GrammarError } from './grammar-error.js';
export { GrammarMaker } from './grammar-maker.js';
export { FORM_SLOT, type StructuralTagFormat, type TagFormat } from './structural-tag-format.js';
export { TokenMasks } from './token-masks.js';
export type { Vocabulary } from './vocabulary.js';
