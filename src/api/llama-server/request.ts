import type { GenerationRequest, Prompt, SamplingParams } from '../../serving/index.js';
import { type CompletionBody, isMixed, type WireLogitBias, type WirePrompt, type WireText } from './schemas.js';

/** llama-server's seed for "a random one", besides -1. */
const RANDOM_SEED = 2 ** 32 - 1;
/** Enough to outweigh any logit; the engine takes finite biases only. */
const BANNED = -1e9;

/** A prompt as it was sent, and as serving takes it. */
export interface SentPrompt {
  sent: unknown;
  prompt: Prompt;
}

export function toPrompts(prompt: WirePrompt, encode: EncodeText): SentPrompt[] {
  const isOne = !Array.isArray(prompt) || isMixed(prompt);
  const prompts = isOne ? [prompt as WireText] : (prompt as WireText[]);
  return prompts.map((sent) => ({ sent, prompt: toPrompt(sent, encode) }));
}

/** Tokens of a text within a prompt: only the first one has what the model wants at the beginning. */
export type EncodeText = (text: string, isFirst: boolean) => Iterable<number>;

function toPrompt(prompt: WireText, encode: EncodeText): Prompt {
  if (typeof prompt === 'string') return { kind: 'text', text: prompt };
  if (!Array.isArray(prompt)) return { kind: 'text', text: prompt.prompt_string };
  const tokenIds: number[] = [];
  prompt.forEach((part, i) => {
    if (typeof part === 'number') tokenIds.push(part);
    else for (const token of encode(part, i === 0)) tokenIds.push(token);
  });
  return { kind: 'tokens', tokenIds };
}

export function choicesOf({ n, n_cmpl }: CompletionBody): number {
  return n_cmpl ?? n ?? 1;
}

/** @param withTokens Whether the answer needs the tokens behind its text. */
export function toGenerationRequest(
  id: string,
  prompt: Prompt,
  body: CompletionBody,
  withTokens: boolean,
): GenerationRequest {
  return {
    id,
    model: body.model ?? undefined,
    prompt,
    n: choicesOf(body),
    stop: toStop(body.stop),
    cacheSalt: body.cache_prompt === false ? id : undefined,
    structuredOutput: toStructuredOutput(body),
    sampling: { ...toSampling(body), logprobs: body.n_probs ? body.n_probs : withTokens ? 0 : null },
  };
}

function toStop(stop: CompletionBody['stop']): string[] | undefined {
  const strings = [stop ?? []].flat().filter((string) => string !== '');
  return strings.length > 0 ? strings : undefined;
}

/** With llama-server's own defaults: its clients count on them. */
function toSampling(body: CompletionBody): Partial<SamplingParams> {
  const maxTokens = body.n_predict ?? body.max_tokens ?? -1;
  const penalised = body.repeat_last_n !== 0;
  return {
    temperature: body.temperature ?? 0.8,
    topK: Math.max(body.top_k ?? 40, 0),
    topP: body.top_p ?? 0.95,
    minP: body.min_p ?? 0.05,
    typicalP: body.typical_p ?? undefined,
    repetitionPenalty: penalised ? (body.repeat_penalty ?? undefined) : undefined,
    presencePenalty: penalised ? (body.presence_penalty ?? undefined) : undefined,
    frequencyPenalty: penalised ? (body.frequency_penalty ?? undefined) : undefined,
    seed: body.seed == null || body.seed < 0 || body.seed === RANDOM_SEED ? undefined : body.seed,
    maxTokens: maxTokens === -1 ? undefined : maxTokens,
    ignoreEos: body.ignore_eos ?? undefined,
    logitBias: body.logit_bias == null ? undefined : toLogitBias(body.logit_bias),
  };
}

function toLogitBias(biases: WireLogitBias): SamplingParams['logitBias'] {
  const pairs = Array.isArray(biases) ? biases : Object.entries(biases);
  return pairs.map(([token, bias]) => [Number(token), bias === false ? BANNED : bias] as const);
}

function toStructuredOutput({ json_schema, grammar }: CompletionBody): GenerationRequest['structuredOutput'] {
  if (json_schema != null) return { kind: 'json_schema', schema: json_schema, strict: true, param: 'json_schema' };
  return grammar ? { kind: 'grammar', grammar } : undefined;
}
