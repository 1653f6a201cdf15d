export type { Grammar } from './grammar.js';
export { GrammarError } from './grammar-error.js';
export type { StructuralTagFormat, TagFormat } from './structural-tag-format.js';
export { TokenMasks } from './token-masks.js';
