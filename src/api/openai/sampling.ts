import type { GenerationRequest, SamplingParams } from '../../serving/index.js';
import type { CommonFields, TokenFields } from './schemas.js';
import { toStructuredOutput } from './structured-output.js';

/** The part of a generation request that both protocols spell alike. `logprobs` differs and is left to them. */
export function toGenerationOptions(
  body: CommonFields & TokenFields,
): Omit<GenerationRequest, 'id' | 'prompt'> & { sampling: Partial<SamplingParams> } {
  return {
    model: body.model ?? undefined,
    n: body.n ?? undefined,
    stop: typeof body.stop === 'string' ? [body.stop] : (body.stop ?? undefined),
    includeStopInOutput: body.include_stop_str_in_output ?? undefined,
    keepSpecialTokens: body.skip_special_tokens === false,
    priority: body.priority ?? undefined,
    cacheSalt: body.cache_salt ?? undefined,
    promptLogprobs: body.prompt_logprobs ?? undefined,
    badWords: body.bad_words ?? undefined,
    structuredOutput: toStructuredOutput(body),
    sampling: {
      temperature: body.temperature ?? undefined,
      // vLLM once spelled "all tokens" as -1, and clients still do.
      topK: body.top_k === -1 ? 0 : (body.top_k ?? undefined),
      topP: body.top_p ?? undefined,
      minP: body.min_p ?? undefined,
      typicalP: body.typical_p ?? undefined,
      repetitionPenalty: body.repetition_penalty ?? body.repeat_penalty ?? undefined,
      presencePenalty: body.presence_penalty ?? undefined,
      frequencyPenalty: body.frequency_penalty ?? undefined,
      logitBias: body.logit_bias
        ? Object.entries(body.logit_bias).map(([token, bias]) => [Number(token), bias] as const)
        : undefined,
      seed: body.seed ?? undefined,
      minTokens: body.min_tokens ?? undefined,
      maxTokens: body.max_tokens ?? toMaxTokens(body.n_predict),
      ignoreEos: body.ignore_eos ?? undefined,
      stopTokenIds: body.stop_token_ids ?? undefined,
      allowedTokenIds: body.allowed_token_ids ?? undefined,
    },
  };
}

/** llama-server's -1 is as many as fit; 0, a prompt alone, is as few as an engine can. */
function toMaxTokens(predict: number | null | undefined): number | undefined {
  return predict == null || predict < 0 ? undefined : Math.max(1, predict);
}
