import { ContextLengthError } from '../errors.js';
import { checkTokenIds } from '../token-ids.js';
import type { Prompt, ToolUse } from '../types.js';
import type { ModelText } from './model-text.js';

/** UTF-16 units. Shorter texts are tokenised in a few milliseconds whatever they are. */
const LONG_TEXT = 65_536;

/** A prompt as the engine takes it. */
export interface EncodedPrompt {
  tokenIds: Int32Array;
  /** A chat as the template rendered it; '' for other kinds of prompts. */
  rendered: string;
}

/**
 * Tokens of any kind of prompt.
 *
 * @param maxModelLen Texts that are certain to have more tokens are refused without tokenising them: that would take
 * seconds for what fits into a request body, and everybody else's answers would stand still meanwhile.
 * @param tools Tools that a chat's template tells the model of.
 * @throws ContextLengthError
 * @throws RequestError when the chat template refuses the messages, or a token id is not of this vocabulary.
 */
export function encodePrompt(
  prompt: Prompt,
  { tokenizer, template }: ModelText,
  maxModelLen: number,
  tools?: ToolUse,
): EncodedPrompt {
  switch (prompt.kind) {
    case 'text':
      checkText(prompt.text, 'prompt');
      return { tokenIds: tokenizer.encode(prompt.text, prompt), rendered: '' };
    case 'tokens':
      checkTokenIds(prompt.tokenIds, tokenizer.vocabulary.size, 'prompt');
      return { tokenIds: Int32Array.from(prompt.tokenIds), rendered: '' };
    case 'chat': {
      const rendered = template.render(prompt, tools);
      checkText(rendered, 'messages');
      return { tokenIds: tokenizer.encodeChat(rendered), rendered };
    }
  }

  function checkText(text: string, param: string): void {
    if (text.length < LONG_TEXT) return;
    // A UTF-16 unit is at least one byte, and no token stands for more bytes than the longest piece has.
    const atLeast = Math.ceil(text.length / tokenizer.longestPiece());
    if (atLeast <= maxModelLen) return;
    throw new ContextLengthError(
      `This model's maximum context length is ${maxModelLen} tokens. However, your ${param} of ${text.length} ` +
        `characters resulted in at least ${atLeast} tokens. Please reduce the length of the ${param}.`,
      param,
    );
  }
}
