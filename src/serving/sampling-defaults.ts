import type { SamplingParams } from '../engine/protocol.js';

/**
 * What sampling parameters are when a request leaves them out: OpenAI's defaults, and for parameters that OpenAI does
 * not have, vLLM's, which switch them off. `seed` and `maxTokens` have none: they are chosen per request.
 */
export const defaultSampling = {
  temperature: 1,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  logitBias: [],
  minTokens: 0,
  ignoreEos: false,
  stopTokenIds: [],
  logprobs: null,
  allowedTokenIds: null,
  badWords: [],
  thinking: null,
} as const satisfies Omit<SamplingParams, 'seed' | 'maxTokens'>;
