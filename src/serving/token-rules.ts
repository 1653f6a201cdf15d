import type { SamplingParams } from '../engine/protocol.js';
import { RequestError } from './errors.js';
import { isReasoningOpen, type ModelText } from './text/index.js';
import type { GenerationRequest } from './types.js';

/**
 * What a request says of texts, for an engine that knows tokens only.
 * @param rendered The prompt of a chat as text.
 * @throws RequestError
 */
export function tokenRules(
  { badWords = [], thinkingBudget, prompt, sampling }: GenerationRequest,
  { tokenizer, format }: Pick<ModelText, 'tokenizer' | 'format'>,
  rendered: string,
): Partial<SamplingParams> {
  const encode = (text: string, parseSpecialTokens: boolean): number[] =>
    Array.from(tokenizer.encode(text, { addSpecialTokens: false, parseSpecialTokens }));
  const rules: Partial<SamplingParams> = {};
  if (badWords.length > 0) {
    rules.badWords = badWords.flatMap((word) => spellings(word, (text) => encode(text, false)));
  }
  if (thinkingBudget !== undefined) {
    if (!Number.isSafeInteger(thinkingBudget) || thinkingBudget < 0) {
      throw new RequestError(`thinking_token_budget must be a whole number of at least 0, got ${thinkingBudget}.`, {
        param: 'thinking_token_budget',
      });
    }
    if (format !== undefined && prompt.kind === 'chat') {
      const { reasoning } = format;
      rules.thinking = {
        open: encode(reasoning.open, true),
        close: encode(reasoning.close, true),
        isOpen: isReasoningOpen(reasoning, rendered),
        tokens: thinkingBudget,
      };
    }
  }
  return { ...sampling, ...rules };
}

/** As at the beginning of a text and, where that is another token, behind a space: as vLLM has it. */
function spellings(word: string, encode: (text: string) => number[]): number[][] {
  const bare = encode(word.trimStart());
  const spaced = encode(` ${word.trimStart()}`);
  const isOther = spaced[0] !== bare[0] && spaced.length === bare.length;
  return (isOther ? [bare, spaced] : [bare]).filter((tokens) => tokens.length > 0);
}
