import { z } from '@hono/zod-openapi';
import type { GeneratedToken, ToolCallDelta, Usage } from '../../serving/index.js';
import { parseCallArguments } from '../call-arguments.js';
import { toChatLogprobs } from '../openai/logprobs.js';
import type { ChoiceEnd, CollectedCall } from '../openai/submission.js';
import type { StreamFormat } from '../stream.js';
import type { Timing } from '../timing.js';
import { toOllamaError } from './errors.js';

export const headFields = {
  model: z.string(),
  created_at: z.string().describe('ISO 8601.'),
  done: z.boolean(),
};

export const endFields = {
  done_reason: z.enum(['stop', 'length', 'load', 'unload']).optional(),
  total_duration: z.int().optional().describe('Nanoseconds, like all durations.'),
  load_duration: z.int().optional(),
  prompt_eval_count: z.int().optional(),
  prompt_eval_duration: z.int().optional(),
  eval_count: z.int().optional(),
  eval_duration: z.int().optional(),
  logprobs: z.array(z.looseObject({ token: z.string(), logprob: z.number() })).optional(),
};

export const ToolCallAnswer = z
  .object({
    id: z.string(),
    function: z.object({ index: z.int(), name: z.string(), arguments: z.record(z.string(), z.unknown()) }),
  })
  .openapi('OllamaToolCall');

export const ndjson: StreamFormat = {
  contentType: 'application/x-ndjson',
  error: (reply) => toLine(toOllamaError(reply).body),
};

export function toLine(object: object): string {
  return `${JSON.stringify(object)}\n`;
}

/** @param model As the client named it. */
export function toHead(model: string) {
  return { model, created_at: new Date().toISOString() };
}

/** What the last line of an answer says; tool calls end an answer with `stop`, too. */
export function toEnd({ reason }: Pick<ChoiceEnd, 'reason'>, usage: Usage, timing: Timing) {
  const [promptMs, predictedMs] = [timing.promptMs(), timing.predictedMs()];
  return {
    done: true,
    done_reason: reason === 'length' ? ('length' as const) : ('stop' as const),
    total_duration: toNanoseconds(promptMs + predictedMs),
    // The model was loaded before the request came.
    load_duration: 0,
    prompt_eval_count: usage.promptTokens,
    prompt_eval_duration: toNanoseconds(promptMs),
    eval_count: usage.completionTokens,
    eval_duration: toNanoseconds(predictedMs),
  };
}

function toNanoseconds(ms: number): number {
  return Math.round(ms * 1e6);
}

/** `logprobs`, where they were asked for. */
export function toLogprobs(tokens: readonly GeneratedToken[]) {
  return tokens.length > 0 ? { logprobs: toChatLogprobs(tokens).content } : {};
}

export function toToolCall({ id, name, arguments: json }: CollectedCall, index: number) {
  return { id, function: { index, name, arguments: parseCallArguments(json) } };
}

/** Ollama streams calls whole: collects their deltas until it is certain that no more will come. */
export interface CallCollector {
  /** Calls that are complete now. */
  push(deltas: readonly ToolCallDelta[]): ReturnType<typeof toToolCall>[];
  finish(): ReturnType<typeof toToolCall>[];
}

export function createCallCollector(): CallCollector {
  let open: (CollectedCall & { index: number }) | undefined;

  function finish() {
    if (open === undefined) return [];
    const call = toToolCall(open, open.index);
    open = undefined;
    return [call];
  }

  return {
    finish,
    push: (deltas) =>
      deltas.flatMap(({ index, id = '', name = '', arguments: json }) => {
        const complete = open?.index === index ? [] : finish();
        open ??= { index, id, name, arguments: '' };
        open.arguments += json;
        return complete;
      }),
  };
}
