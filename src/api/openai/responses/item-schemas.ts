import { z } from '@hono/zod-openapi';
import { boundedArray } from '../bounded-array.js';

/** Bounded so that items times parts stays small; see `boundedArray`. */
const MAX_PARTS = 128;
const TEXT_ONLY = 'this model is text-only: the only parts it takes are of type "input_text" and "output_text"';

const Status = z.enum(['in_progress', 'completed', 'incomplete']);

const InputText = z.looseObject({ type: z.literal('input_text'), text: z.string() });
const OutputText = z.looseObject({ type: z.literal('output_text'), text: z.string() });
const Refusal = z.looseObject({ type: z.literal('refusal'), refusal: z.string() });

const ContentPart = z
  .discriminatedUnion('type', [InputText, OutputText, Refusal], { error: TEXT_ONLY })
  .openapi('ResponseContentPart');

const content = z.union([z.string(), boundedArray(ContentPart, { max: MAX_PARTS })], {
  error: `must be a string or a list of up to ${MAX_PARTS} parts`,
});

const Message = z.looseObject({
  type: z.literal('message').describe('May be left out.'),
  id: z.string().nullish(),
  role: z.enum(['user', 'assistant', 'system', 'developer'], {
    error: 'must be "user", "assistant", "system" or "developer"',
  }),
  content,
  status: Status.nullish().describe('A last message of the assistant that is not `completed` is gone on with (vLLM).'),
});

const FunctionCall = z.looseObject({
  type: z.literal('function_call'),
  id: z.string().nullish(),
  call_id: z.string().min(1),
  name: z.string(),
  arguments: z.string().describe('JSON.'),
  status: Status.nullish(),
});

const FunctionCallOutput = z.looseObject({
  type: z.literal('function_call_output'),
  id: z.string().nullish(),
  call_id: z.string().min(1).describe('Of the call that this answers.'),
  output: content,
  status: Status.nullish(),
});

const Reasoning = z
  .looseObject({
    type: z.literal('reasoning'),
    id: z.string().nullish(),
    summary: boundedArray(z.looseObject({ type: z.literal('summary_text'), text: z.string() }), { max: MAX_PARTS })
      .nullish()
      .describe('Shown to the model where there is no `content`.'),
    content: boundedArray(z.looseObject({ type: z.literal('reasoning_text'), text: z.string() }), {
      max: MAX_PARTS,
    }).nullish(),
    encrypted_content: z.string().nullish().describe('Of other servers: refused where there is nothing else.'),
    status: Status.nullish(),
  })
  .superRefine(({ summary, content, encrypted_content }, context) => {
    const isReadable = (summary?.length ?? 0) + (content?.length ?? 0) > 0;
    if (isReadable || !encrypted_content) return;
    context.addIssue({
      code: 'custom',
      path: ['encrypted_content'],
      message: 'cannot be read by this server: send `content` or `summary`, or leave the item out',
    });
  });

const ItemReference = z.looseObject({
  type: z.literal('item_reference').describe('May be left out.'),
  id: z.string().describe('Of an item that a stored response took or gave.'),
});

const ITEM_TYPES = 'message, function_call, function_call_output, reasoning and item_reference';

/** What a client may give as input. `type` may be left out of messages and references. */
export const InputItem = z
  .preprocess(
    withType,
    z.discriminatedUnion('type', [Message, FunctionCall, FunctionCallOutput, Reasoning, ItemReference], {
      error: `items of this type are not supported by this server; it takes ${ITEM_TYPES}`,
    }),
  )
  .openapi('ResponseInputItem');

export type WireInputItem = z.infer<typeof InputItem>;

function withType(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { type, role, id } = value as Record<string, unknown>;
  if (type != null) return value;
  if (role != null) return { ...value, type: 'message' };
  return id != null ? { ...value, type: 'item_reference' } : value;
}

const TokenLogprob = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()) });

const Logprobs = z.array(TokenLogprob.extend({ top_logprobs: z.array(TokenLogprob) }));

const MessageOutput = z.object({
  type: z.literal('message'),
  id: z.string(),
  status: Status,
  role: z.literal('assistant'),
  content: z.array(
    z.object({
      type: z.literal('output_text'),
      text: z.string(),
      annotations: z.array(z.unknown()).max(0),
      logprobs: Logprobs,
    }),
  ),
});

const FunctionCallItem = z.object({
  type: z.literal('function_call'),
  id: z.string(),
  status: Status,
  call_id: z.string(),
  name: z.string(),
  arguments: z.string().describe('JSON.'),
});

const ReasoningItem = z.object({
  type: z.literal('reasoning'),
  id: z.string(),
  status: Status,
  summary: z.array(z.object({ type: z.literal('summary_text'), text: z.string() })),
  content: z.array(z.object({ type: z.literal('reasoning_text'), text: z.string() })),
});

/** What the model may give. */
export const OutputItem = z
  .discriminatedUnion('type', [MessageOutput, FunctionCallItem, ReasoningItem])
  .openapi('ResponseOutputItem');

export type MessageOutput = z.infer<typeof MessageOutput>;
export type FunctionCallItem = z.infer<typeof FunctionCallItem>;
export type ReasoningItem = z.infer<typeof ReasoningItem>;
export type OutputItem = z.infer<typeof OutputItem>;
export type ItemLogprobs = z.infer<typeof Logprobs>;

const StoredPart = z.object({
  type: z.enum(['input_text', 'output_text', 'refusal']),
  text: z.string().optional(),
  refusal: z.string().optional(),
});

const MessageItem = z.object({
  type: z.literal('message'),
  id: z.string(),
  status: Status,
  role: z.enum(['user', 'assistant', 'system', 'developer']),
  content: z.array(StoredPart),
});

const FunctionCallOutputItem = z.object({
  type: z.literal('function_call_output'),
  id: z.string(),
  status: Status,
  call_id: z.string(),
  output: z.union([z.string(), z.array(StoredPart)]),
});

/** Anything that was said in a conversation, with an id: what clients gave and what the model did. */
export const Item = z
  .discriminatedUnion('type', [MessageItem, FunctionCallItem, FunctionCallOutputItem, ReasoningItem])
  .openapi('ResponseItem');

export type Part = z.infer<typeof StoredPart>;
export type Item = z.infer<typeof Item>;
