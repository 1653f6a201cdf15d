import { ContextLengthError, RequestError } from '../errors.js';
import { checkTokenIds } from '../token-ids.js';
import type { Prompt, ToolUse } from '../types.js';
import type { ModelText } from './model-text.js';
import type { Tokenizer } from './tokenizer.js';

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
 * @param field The request field that the prompt is from, for errors; left out: `prompt`, or `messages` of a chat.
 * @throws ContextLengthError
 * @throws RequestError when the chat template refuses the messages, or a token id is not of this vocabulary.
 */
export function encodePrompt(
  prompt: Prompt,
  { tokenizer, template }: ModelText,
  maxModelLen: number,
  tools?: ToolUse,
  field?: string,
): EncodedPrompt {
  switch (prompt.kind) {
    case 'text':
      checkText(prompt.text, field ?? 'prompt');
      return { tokenIds: tokenizer.encode(prompt.text, prompt), rendered: '' };
    case 'tokens':
      checkTokenIds(prompt.tokenIds, tokenizer.vocabulary.size, field ?? 'prompt');
      return { tokenIds: Int32Array.from(prompt.tokenIds), rendered: '' };
    case 'fill':
      checkText(prompt.prefix + prompt.suffix, 'prompt');
      return { tokenIds: encodeGap(prompt, tokenizer), rendered: '' };
    case 'chat': {
      const rendered = template.render(prompt, tools);
      checkText(rendered, field ?? 'messages');
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

/** Beginning, end, then the middle is asked for, as models of code are trained (Bavarian et al. 2022: PSM). */
function encodeGap({ prefix, suffix }: { prefix: string; suffix: string }, { vocabulary }: Tokenizer): Int32Array {
  const { bos, addBos, fimPrefix, fimSuffix, fimMiddle } = vocabulary;
  if (fimPrefix < 0 || fimSuffix < 0 || fimMiddle < 0) {
    throw new RequestError(
      'This model cannot fill gaps: its vocabulary has no fill-in-the-middle tokens. Leave `suffix` out.',
      {
        param: 'suffix',
        code: 'unsupported_parameter',
      },
    );
  }
  const encode = (text: string) => vocabulary.tokenize(text, { addSpecial: false, parseSpecial: false });
  const begin = addBos && bos >= 0 ? [bos] : [];
  return Int32Array.from([...begin, fimPrefix, ...encode(prefix), fimSuffix, ...encode(suffix), fimMiddle]);
}
