import { z } from '@hono/zod-openapi';
import type { ChatMessage } from '../../serving/index.js';
import { parseJson } from '../access/index.js';
import { boundedArray } from './bounded-array.js';

/** Bounded so that messages times parts stays small; see `boundedArray`. */
const MAX_CONTENT_PARTS = 128;
const MAX_TOOL_CALLS = 128;

const TEXT_ONLY = 'this model is text-only: the only content parts it takes are of type "text"';

const ContentPart = z
  .looseObject({
    type: z.enum(['text', 'refusal'], { error: TEXT_ONLY }),
    text: z.string().optional(),
    refusal: z.string().optional().describe("Of an assistant's part of type `refusal`."),
  })
  .superRefine(({ type, text, refusal }, context) => {
    const value = type === 'text' ? text : refusal;
    if (value === undefined) context.addIssue({ code: 'custom', path: [type], message: 'is required' });
  })
  .openapi('ContentPart');

const ToolCall = z.looseObject({
  id: z.string(),
  type: z.literal('function').nullish(),
  function: z.looseObject({
    name: z.string(),
    arguments: z
      .string()
      .refine((text) => parseObject(text) !== undefined, { error: 'must be JSON text of an object' })
      .describe('JSON.'),
  }),
});

const Message = z.looseObject({
  role: z
    .string()
    .min(1)
    .describe('`system`, `developer` (the same), `user`, `assistant`, `tool`, or what the template knows.'),
  content: z
    .union([z.string(), boundedArray(ContentPart, { max: MAX_CONTENT_PARTS })], {
      error: `must be a string or a list of up to ${MAX_CONTENT_PARTS} content parts`,
    })
    .nullish(),
  name: z.string().nullish(),
  tool_calls: boundedArray(ToolCall, { max: MAX_TOOL_CALLS }).nullish().describe('Calls that an assistant made.'),
  tool_call_id: z.string().nullish().describe("The call that a tool's message answers."),
  reasoning_content: z.string().nullish().describe('What an assistant thought before it answered.'),
});

export type WireMessage = z.infer<typeof Message>;

export const messageSchema = Message.superRefine((message, context) => {
  const refuse = (field: string, text: string, code?: string): void => {
    context.addIssue({ code: 'custom', path: [field], message: text, params: { code } });
  };
  const unsupported = (field: string, text: string): void => refuse(field, text, 'unsupported_parameter');
  if (message.role === 'function') unsupported('role', 'function calls are not supported: use tools and tool messages');
  if (message.function_call != null) unsupported('function_call', 'function calls are not supported: use tool_calls');
  if (message.audio != null) unsupported('audio', TEXT_ONLY);
  if (message.role === 'tool' && message.tool_call_id == null) refuse('tool_call_id', 'is required');
  if (message.tool_calls != null && message.tool_calls.length > 0 && message.role !== 'assistant') {
    refuse('tool_calls', 'are only allowed in messages of an assistant');
  }
}).openapi('ChatMessage');

/** A message as chat templates see it. */
export function toChatMessage(message: WireMessage): ChatMessage {
  const { name, tool_calls, tool_call_id, reasoning_content } = message;
  return {
    // OpenAI's newer name of the system role; templates of open models know only the older one.
    role: message.role === 'developer' ? 'system' : message.role,
    content: toText(message.content),
    ...(name != null && { name }),
    ...(tool_call_id != null && { tool_call_id }),
    ...(reasoning_content != null && { reasoning_content }),
    ...(tool_calls != null && tool_calls.length > 0 && { tool_calls: tool_calls.map(toTemplateCall) }),
  };
}

function toTemplateCall({ id, function: { name, arguments: text } }: z.infer<typeof ToolCall>) {
  return { id, type: 'function' as const, function: { name, arguments: parseObject(text) } };
}

/** Some clients send no arguments as ''. */
function parseObject(text: string): Record<string, unknown> | undefined {
  if (text.trim() === '') return {};
  try {
    const value = parseJson(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Parts are joined by line breaks, as vLLM and llama-server do for templates that know only strings. */
function toText(content: WireMessage['content']): string {
  if (content == null) return '';
  return typeof content === 'string' ? content : content.map(({ text, refusal }) => text ?? refusal).join('\n');
}
