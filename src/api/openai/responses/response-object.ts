import { defaultSampling, type ServedModel, type Usage } from '../../../serving/index.js';
import { tierOf } from '../service-tier.js';
import type { OutputItem } from './item-schemas.js';
import type { ResponsesBody } from './request-schema.js';
import type { WireResponse } from './response-schema.js';

/** What becomes of a response. */
export type ResponseState = Pick<WireResponse, 'status' | 'error' | 'incomplete_details' | 'completed_at' | 'usage'>;

export const IN_PROGRESS: ResponseState = {
  status: 'in_progress',
  error: null,
  incomplete_details: null,
  completed_at: null,
  usage: null,
};

/** @param usage Final. */
export function endedState(isComplete: boolean, usage: Usage): ResponseState {
  return {
    status: isComplete ? 'completed' : 'incomplete',
    error: null,
    incomplete_details: isComplete ? null : { reason: 'max_output_tokens' },
    completed_at: isComplete ? now() : null,
    usage: toResponseUsage(usage),
  };
}

export function failedState(message: string): ResponseState {
  return { ...IN_PROGRESS, status: 'failed', error: { code: 'server_error', message } };
}

function toResponseUsage(usage: Usage): WireResponse['usage'] {
  return {
    input_tokens: usage.promptTokens,
    input_tokens_details: { cached_tokens: usage.cachedTokens, cache_write_tokens: 0 },
    output_tokens: usage.completionTokens,
    output_tokens_details: { reasoning_tokens: usage.reasoningTokens },
    total_tokens: usage.promptTokens + usage.completionTokens,
  };
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}

/** Returns what makes a response of its state: the settings of the request, with defaults filled in, stay the same. */
export function responseWriter(
  id: string,
  body: ResponsesBody,
  model: ServedModel,
): (state: ResponseState, output: readonly OutputItem[]) => WireResponse {
  const created = now();
  const settings = settingsOf(body);
  return (state, output) => ({
    id,
    object: 'response',
    created_at: created,
    model: model.id,
    background: false,
    ...settings,
    ...state,
    output: [...output],
  });
}

function settingsOf(body: ResponsesBody) {
  return {
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    metadata: body.metadata ?? {},
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    previous_response_id: body.previous_response_id ?? null,
    prompt_cache_key: body.prompt_cache_key ?? null,
    prompt_cache_retention: body.prompt_cache_retention ?? null,
    reasoning: { effort: body.reasoning?.effort ?? null, summary: body.reasoning?.summary ?? null },
    safety_identifier: body.safety_identifier ?? null,
    service_tier: tierOf(body.service_tier),
    store: body.store ?? true,
    temperature: body.temperature ?? defaultSampling.temperature,
    text: { format: body.text?.format ?? { type: 'text' }, verbosity: 'medium' as const },
    tool_choice: body.tool_choice ?? 'auto',
    tools: (body.tools ?? []).map(({ type, name, description, parameters, strict }) => ({
      type,
      name,
      description: description ?? null,
      parameters: parameters ?? null,
      strict: strict ?? true,
    })),
    top_logprobs: body.top_logprobs ?? 0,
    top_p: body.top_p ?? defaultSampling.topP,
    truncation: body.truncation ?? ('disabled' as const),
    user: body.user ?? null,
  };
}
