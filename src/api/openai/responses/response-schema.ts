import { z } from '@hono/zod-openapi';
import { Item, OutputItem } from './item-schemas.js';

const Usage = z
  .object({
    input_tokens: z.int(),
    input_tokens_details: z.object({
      cached_tokens: z.int(),
      cache_write_tokens: z.int().describe('Always 0: what is computed is cached, nothing is written apart.'),
    }),
    output_tokens: z.int(),
    output_tokens_details: z.object({ reasoning_tokens: z.int() }),
    total_tokens: z.int(),
  })
  .openapi('ResponseUsage');

const anyObject = z.record(z.string(), z.unknown());

export const Response = z
  .object({
    id: z.string(),
    object: z.literal('response'),
    created_at: z.int().describe('Unix seconds.'),
    status: z.enum(['in_progress', 'completed', 'incomplete', 'failed']),
    completed_at: z.int().nullable().describe('Unix seconds; null unless `completed`.'),
    background: z.literal(false),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    incomplete_details: z.object({ reason: z.literal('max_output_tokens') }).nullable(),
    instructions: z.string().nullable(),
    max_output_tokens: z.int().nullable(),
    max_tool_calls: z.int().nullable(),
    metadata: z.record(z.string(), z.string()),
    model: z.string(),
    output: z.array(OutputItem),
    parallel_tool_calls: z.boolean(),
    previous_response_id: z.string().nullable(),
    prompt_cache_key: z.string().nullable(),
    prompt_cache_retention: z.string().nullable(),
    reasoning: z.object({ effort: z.string().nullable(), summary: z.string().nullable() }),
    safety_identifier: z.string().nullable(),
    service_tier: z.enum(['default', 'flex', 'priority']),
    store: z.boolean(),
    temperature: z.number(),
    text: z.object({ format: anyObject, verbosity: z.literal('medium') }),
    tool_choice: z.union([z.string(), anyObject]),
    tools: z.array(anyObject),
    top_logprobs: z.int(),
    top_p: z.number(),
    truncation: z.enum(['auto', 'disabled']),
    usage: Usage.nullable(),
    user: z.string().nullable(),
  })
  .openapi('Response');

export type WireResponse = z.infer<typeof Response>;

export const DeletedResponse = z
  .object({ id: z.string(), object: z.literal('response'), deleted: z.literal(true) })
  .openapi('DeletedResponse');

export const ItemList = z
  .object({
    object: z.literal('list'),
    data: z.array(Item),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
    has_more: z.boolean(),
  })
  .openapi('ResponseItemList');

export const InputTokens = z
  .object({ object: z.literal('response.input_tokens'), input_tokens: z.int() })
  .openapi('ResponseInputTokens');
