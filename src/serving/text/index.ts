export { decodeTokens } from './detokenizer.js';
export { isReasoningOpen } from './formats/index.js';
export { loadModelText, type ModelText } from './model-text.js';
export type { OutputFormat, OutputParser, OutputParserOptions, ParsedText } from './output-format.js';
export { encodePrompt } from './prompt.js';
export type { Tokenizer, TokenPiece } from './tokenizer.js';
