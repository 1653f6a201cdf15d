import { loadLlama } from '../../llama/index.js';
import { type ChatTemplate, createChatTemplate } from './chat-template.js';
import { detectOutputFormat } from './formats/index.js';
import type { OutputFormat } from './output-format.js';
import { createTokenizer, type Tokenizer } from './tokenizer.js';

/** Everything of a model that has to do with text. */
export interface ModelText {
  tokenizer: Tokenizer;
  template: ChatTemplate;
  /** How answers to chats write reasoning and tool calls. Left out: they do not. */
  format?: OutputFormat;
  dispose(): void;
}

/**
 * Reads the vocabulary and chat template of a GGUF, not its weights. Blocks for some 50 ms with 150,000 tokens.
 * @throws LlamaError when the file cannot be read.
 */
export function loadModelText(path: string): ModelText {
  const model = loadLlama({ device: 'cpu' }).loadModel(path, { vocabOnly: true });
  const templateSource = model.chatTemplate();
  return {
    tokenizer: createTokenizer(model.vocab),
    template: createChatTemplate(templateSource, model.vocab),
    format: detectOutputFormat(templateSource),
    dispose: () => model.dispose(),
  };
}
