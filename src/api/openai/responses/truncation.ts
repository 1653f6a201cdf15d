import { ContextLengthError, type Serving } from '../../../serving/index.js';
import { type ResponsePrompt, toPrompt } from './generation-request.js';
import type { Item } from './item-schemas.js';
import type { ResponsesBody } from './request-schema.js';

/**
 * The prompt of a conversation without as many of its oldest turns as it takes to fit, together with the tokens that may
 * be generated. A turn is what begins with a user's message; the last one always stays, and so do instructions.
 *
 * @throws RequestError and its kinds
 */
export function toFittingPrompt(body: ResponsesBody, items: readonly Item[], serving: Serving): ResponsePrompt {
  const starts = items.flatMap((item, index) => (item.type === 'message' && item.role === 'user' ? [index] : []));
  const wanted = body.max_output_tokens ?? 1;

  function promptFrom(turn: number): ResponsePrompt {
    return toPrompt(body, turn === 0 ? items : items.slice(starts[turn]));
  }

  function fits({ prompt, tools }: ResponsePrompt): boolean {
    try {
      const { model, tokenIds } = serving.tokenize(body.model ?? undefined, prompt, tools);
      return tokenIds.length + wanted <= model.maxModelLen;
    } catch (error) {
      if (error instanceof ContextLengthError) return false;
      throw error;
    }
  }

  // Each turn left out makes the prompt shorter, so the first one that fits is found by halving.
  let first = 0;
  let last = Math.max(starts.length - 1, 0);
  while (first < last) {
    const middle = Math.floor((first + last) / 2);
    if (fits(promptFrom(middle))) last = middle;
    else first = middle + 1;
  }
  return promptFrom(first);
}
