import type { TokenSelection } from '../selection/index.js';
import { tokenLogprobs } from './logprobs.js';
import type { TokenLogprobs } from './protocol.js';
import type { PromptReader } from './row-batches.js';

/** Reads how likely each token of a prompt was, given those before it. */
export interface PromptScorer extends PromptReader {
  readonly kind: 'logits';
  /** Once the prompt is computed: of each token but the first. */
  logprobs(): TokenLogprobs[];
}

/** @param alternatives how many of the likeliest tokens in each place to tell */
export function createPromptScorer(prompt: Int32Array, alternatives: number, selection: TokenSelection): PromptScorer {
  const logprobs: TokenLogprobs[] = [];
  return {
    kind: 'logits',
    reads: (end) => logprobs.length < Math.min(end, prompt.length - 1),
    take(position, logits) {
      if (position !== logprobs.length || position + 1 >= prompt.length) return;
      logprobs.push(tokenLogprobs(selection, logits, prompt[position + 1], alternatives));
    },
    logprobs: () => logprobs,
  };
}
