export { loadModelText, type ModelText } from './model-text.js';
export { encodePrompt } from './prompt.js';
export type { Tokenizer } from './tokenizer.js';
