export type { Grammar } from './grammar.js';
export { GrammarError } from './grammar-error.js';
export { TokenMasks } from './token-masks.js';
