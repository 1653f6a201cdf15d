import type { TokenSelection } from '../selection/index.js';
import type { TokenLogprobs } from './protocol.js';

/**
 * Log-probabilities of the chosen token and of the `count` likeliest ones, under the model's own distribution: from the
 * logits as they are, before penalties, temperature and filters (vLLM's `raw_logprobs`).
 */
export function tokenLogprobs(
  selection: TokenSelection,
  logits: Float32Array,
  token: number,
  count: number,
): TokenLogprobs {
  const highest = logits[selection.argMax(logits)];
  const normalizer = highest + Math.log(selection.weigh(logits, highest, 1));
  const topTokens = Array.from(selection.topIndices(logits, count));
  return {
    logprob: logits[token] - normalizer,
    rank: 1 + selection.countAbove(logits, logits[token]),
    topTokens,
    topLogprobs: topTokens.map((id) => logits[id] - normalizer),
  };
}
