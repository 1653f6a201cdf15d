import type { TokenLogprobs } from './protocol.js';
import { topIndices } from './top-tokens.js';

/**
 * Log-probabilities of the chosen token and of the `count` likeliest ones, under the model's own distribution: from the
 * logits as they are, before penalties, temperature and filters (vLLM's `raw_logprobs`).
 */
export function tokenLogprobs(logits: Float32Array, token: number, count: number): TokenLogprobs {
  let highest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) if (logits[i] > highest) highest = logits[i];
  let sum = 0;
  const chosen = logits[token];
  let rank = 1;
  for (let i = 0; i < logits.length; i++) {
    sum += Math.exp(logits[i] - highest);
    if (logits[i] > chosen) rank++;
  }
  const normalizer = highest + Math.log(sum);
  const topTokens = Array.from(topIndices(logits, count));
  return {
    logprob: chosen - normalizer,
    rank,
    topTokens,
    topLogprobs: topTokens.map((id) => logits[id] - normalizer),
  };
}
