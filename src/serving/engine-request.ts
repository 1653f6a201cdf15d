import { randomInt } from 'node:crypto';
import type { EngineInfo, EngineRequest, Grammar, SamplingParams } from '../engine/protocol.js';
import { ContextLengthError, RequestError } from './errors.js';
import { defaultSampling } from './sampling-defaults.js';
import { checkTokenIds } from './token-ids.js';
import type { GenerationRequest } from './types.js';

/** Each sampling parameter's own range, with its name on the wire and the words for what is allowed. */
const RANGES: Array<[keyof SamplingParams, name: string, allowed: string, isAllowed: (value: number) => boolean]> = [
  ['temperature', 'temperature', 'a number of at least 0', (value) => value >= 0],
  ['topK', 'top_k', 'a whole number of at least 0', isCount],
  ['topP', 'top_p', 'above 0 and at most 1', (value) => value > 0 && value <= 1],
  ['minP', 'min_p', 'from 0 to 1', (value) => value >= 0 && value <= 1],
  ['typicalP', 'typical_p', 'above 0 and at most 1', (value) => value > 0 && value <= 1],
  ['repetitionPenalty', 'repetition_penalty', 'above 0', (value) => value > 0],
  ['presencePenalty', 'presence_penalty', 'from -2 to 2', (value) => value >= -2 && value <= 2],
  ['frequencyPenalty', 'frequency_penalty', 'from -2 to 2', (value) => value >= -2 && value <= 2],
  ['seed', 'seed', 'a whole number', Number.isSafeInteger],
  ['minTokens', 'min_tokens', 'a whole number of at least 0', isCount],
  ['maxTokens', 'max_tokens', 'a whole number of at least 1', (value) => isCount(value) && value >= 1],
  ['logprobs', 'logprobs', 'a whole number of at least 0', isCount],
];

/**
 * The engine's form of a request, with every default filled in and everything checked that could make the engine refuse
 * it or go wrong.
 *
 * @param promptTokenIds The request's prompt, rendered and tokenised; ids of the vocabulary.
 * @param grammar What the answer has to look like.
 * @throws RequestError, ContextLengthError
 */
export function toEngineRequest(
  request: GenerationRequest,
  promptTokenIds: Int32Array,
  info: EngineInfo,
  grammar: Grammar | null = null,
): EngineRequest {
  const param = request.prompt.kind === 'chat' ? 'messages' : 'prompt';
  if (promptTokenIds.length === 0) throw new RequestError('The prompt is empty: it has no tokens.', { param });
  for (const stop of request.stop ?? []) {
    if (stop === '') throw new RequestError('stop: a stop string must not be empty.', { param: 'stop' });
  }
  const n = request.n ?? 1;
  if (!Number.isInteger(n) || n < 1 || n > info.maxNumSeqs) {
    throw new RequestError(
      `n must be a whole number from 1 to ${info.maxNumSeqs}, the number of sequences this server runs at a time.`,
      { param: 'n' },
    );
  }

  const given = withoutUndefined(request.sampling);
  const room = checkLength(promptTokenIds.length, given.maxTokens, info, param);
  const sampling: SamplingParams = {
    ...defaultSampling,
    seed: randomInt(2 ** 48 - 1),
    maxTokens: room,
    ...given,
  };
  checkSampling(sampling, info.vocabSize);
  if (request.promptLogprobs !== undefined && !isCount(request.promptLogprobs)) {
    throw new RequestError(`prompt_logprobs must be a whole number of at least 0, got ${request.promptLogprobs}.`, {
      param: 'prompt_logprobs',
    });
  }

  return {
    id: request.id,
    promptTokenIds,
    sampling,
    n,
    priority: request.priority ?? 0,
    tenant: request.tenant ?? '',
    cacheSalt: request.cacheSalt ?? '',
    promptLogprobs: request.promptLogprobs ?? null,
    grammar,
    resume: null,
  };
}

/**
 * Returns how many tokens can follow the prompt. An engine's `maxModelLen` is never more than its KV cache holds, and a
 * request fits when one choice of it does: choices that do not fit side by side take turns.
 */
function checkLength(
  promptTokens: number,
  maxTokens: number | undefined,
  { maxModelLen }: EngineInfo,
  param: string,
): number {
  const asked = promptTokens + (maxTokens ?? 1);
  if (asked <= maxModelLen) return maxModelLen - promptTokens;

  const limit = `This model's maximum context length is ${maxModelLen} tokens.`;
  throw new ContextLengthError(
    maxTokens === undefined
      ? `${limit} However, your ${param} resulted in ${promptTokens} tokens, which leaves no room for a completion. ` +
          `Please reduce the length of the ${param}.`
      : `${limit} However, you requested ${asked} tokens (${promptTokens} in the ${param}, ` +
          `${maxTokens} in the completion). Please reduce the length of the ${param} or completion.`,
    param,
  );
}

function checkSampling(sampling: SamplingParams, vocabSize: number): void {
  for (const [key, name, allowed, isAllowed] of RANGES) {
    const value = sampling[key];
    if (value === null && key === 'logprobs') continue;
    if (typeof value !== 'number' || !Number.isFinite(value) || !isAllowed(value)) {
      throw new RequestError(`${name} must be ${allowed}, got ${value}.`, { param: name });
    }
  }
  if (sampling.minTokens > sampling.maxTokens) {
    throw new RequestError(
      `min_tokens (${sampling.minTokens}) must not exceed the tokens that can be generated (${sampling.maxTokens}).`,
      { param: 'min_tokens' },
    );
  }
  checkTokenIds(sampling.stopTokenIds, vocabSize, 'stop_token_ids');
  checkTokenIds(sampling.allowedTokenIds ?? [], vocabSize, 'allowed_token_ids');
  if (sampling.allowedTokenIds?.length === 0) {
    throw new RequestError('allowed_token_ids must not be empty.', { param: 'allowed_token_ids' });
  }
  checkTokenIds(
    sampling.logitBias.map(([token]) => token),
    vocabSize,
    'logit_bias',
  );
  for (const [token, bias] of sampling.logitBias) {
    if (!Number.isFinite(bias)) {
      throw new RequestError(`logit_bias: the bias of token ${token} must be a number.`, { param: 'logit_bias' });
    }
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Spreading `{ topP: undefined }` would replace a default by undefined. */
function withoutUndefined<T extends object>(object: T): T {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as T;
}
