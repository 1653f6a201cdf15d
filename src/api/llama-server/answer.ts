import { defaultSampling, type GeneratedToken, type SamplingParams, type Usage } from '../../serving/index.js';
import { finite } from '../openai/logprobs.js';
import { sseEvent } from '../openai/sse.js';
import type { Choice, ChoiceEnd, Submission } from '../openai/submission.js';
import type { EventWriter } from '../stream.js';
import type { Timing } from '../timing.js';
import { choicesOf } from './request.js';
import type { CompletionBody, WireCompletion } from './schemas.js';

/** Requests share one batch and have no slot to themselves. */
const NO_SLOT = -1;

/** What every completion of one request has to know of it. */
export interface CompletionJob {
  body: CompletionBody;
  submission: Submission;
  timing: Timing;
  /** By index of prompt. */
  prompts: readonly { sent: unknown; tokens: number; sampling: Partial<SamplingParams> }[];
}

export function wholeCompletion(job: CompletionJob, { text, tokens, end }: Choice): WireCompletion {
  const predicted = job.submission.choices === 1 ? job.submission.usage().completionTokens : tokens.length;
  return {
    ...toEnd(job, end, predicted, text.includes('\n')),
    content: text,
    tokens: job.body.return_tokens ? tokens.map(({ tokenId }) => tokenId) : [],
    ...toProbabilities(job.body, tokens),
  };
}

/** What the last event of a completion says, or a whole one apart from its text. */
function toEnd(job: CompletionJob, end: ChoiceEnd, predicted: number, has_new_line: boolean): WireCompletion {
  const { sent, tokens, sampling } = promptOf(job, end.choice);
  return {
    index: end.choice,
    content: '',
    tokens: [],
    id_slot: NO_SLOT,
    stop: true,
    model: job.submission.model.id,
    tokens_predicted: predicted,
    tokens_evaluated: tokens,
    generation_settings: toSettings(sampling),
    prompt: sent,
    has_new_line,
    truncated: false,
    ...toStop(end),
    tokens_cached: tokens + predicted,
    timings: toTimings(job.submission.usage(), job.timing),
  };
}

function promptOf({ prompts, body }: CompletionJob, choice: number) {
  return prompts[Math.floor(choice / choicesOf(body))]!;
}

function toStop({ reason, stopReason }: ChoiceEnd): Pick<WireCompletion, 'stop_type' | 'stopping_word'> {
  if (reason === 'length') return { stop_type: 'limit', stopping_word: '' };
  if (typeof stopReason === 'string') return { stop_type: 'word', stopping_word: stopReason };
  return { stop_type: 'eos', stopping_word: '' };
}

/** Sampling parameters under llama-server's names. */
export function toSettings(given: Partial<SamplingParams>) {
  return {
    seed: given.seed ?? -1,
    temperature: given.temperature ?? defaultSampling.temperature,
    top_k: given.topK ?? defaultSampling.topK,
    top_p: given.topP ?? defaultSampling.topP,
    min_p: given.minP ?? defaultSampling.minP,
    typical_p: given.typicalP ?? defaultSampling.typicalP,
    repeat_penalty: given.repetitionPenalty ?? defaultSampling.repetitionPenalty,
    presence_penalty: given.presencePenalty ?? defaultSampling.presencePenalty,
    frequency_penalty: given.frequencyPenalty ?? defaultSampling.frequencyPenalty,
    n_predict: given.maxTokens ?? -1,
    ignore_eos: given.ignoreEos ?? false,
    n_probs: given.logprobs ?? 0,
  };
}

/** Of all completions of the request together. */
function toTimings({ promptTokens, cachedTokens, completionTokens }: Usage, timing: Timing) {
  const prompt_n = promptTokens - cachedTokens;
  const [prompt_ms, predicted_ms] = [timing.promptMs(), timing.predictedMs()];
  return {
    cache_n: cachedTokens,
    prompt_n,
    prompt_ms,
    prompt_per_token_ms: ratio(prompt_ms, prompt_n),
    prompt_per_second: ratio(prompt_n * 1000, prompt_ms),
    predicted_n: completionTokens,
    predicted_ms,
    predicted_per_token_ms: ratio(predicted_ms, completionTokens),
    predicted_per_second: ratio(completionTokens * 1000, predicted_ms),
  };
}

/** 0 where there is nothing to divide by: JSON has no infinity. */
function ratio(a: number, b: number): number {
  return b === 0 ? 0 : a / b;
}

function toProbabilities({ n_probs }: CompletionBody, tokens: readonly GeneratedToken[]) {
  if (!n_probs || tokens.length === 0) return {};
  const completion_probabilities = tokens.map((token) => ({
    ...toProbability(token),
    top_logprobs: token.top.map(toProbability),
  }));
  return { completion_probabilities };
}

function toProbability({ tokenId, token, bytes, logprob }: Omit<GeneratedToken, 'top'>) {
  return { id: tokenId, token, bytes, logprob: finite(logprob) };
}

/** Events of a stream: pieces with `stop` false, and for each completion one with `stop` true. */
export function completionEvents(job: CompletionJob): EventWriter {
  const { body, submission } = job;
  const predicted = new Array<number>(submission.choices).fill(0);
  const newLine = new Array<boolean>(submission.choices).fill(false);

  function predictedOf(choice: number): number {
    return submission.choices === 1 ? submission.usage().completionTokens : predicted[choice]!;
  }

  return {
    event(event) {
      const index = event.choice;
      if (event.type === 'finish') {
        return sseEvent(JSON.stringify(toEnd(job, event, predictedOf(index), newLine[index]!)));
      }
      const { text, tokens } = event;
      predicted[index]! += tokens.length;
      newLine[index] ||= text.includes('\n');
      if (text === '' && tokens.length === 0) return '';
      const piece = {
        index,
        content: text,
        tokens: body.return_tokens ? tokens.map(({ tokenId }) => tokenId) : [],
        stop: false,
        id_slot: NO_SLOT,
        tokens_predicted: predictedOf(index),
        tokens_evaluated: promptOf(job, index).tokens,
        ...(body.timings_per_token && { timings: toTimings(submission.usage(), job.timing) }),
        ...toProbabilities(body, tokens),
      };
      return sseEvent(JSON.stringify(piece));
    },
    end: () => '',
  };
}
