import { z } from '@hono/zod-openapi';
import { boundedArray } from '../openai/bounded-array.js';
import { MAX_ITEMS, refuseFields } from '../openai/schemas.js';
import { endFields, headFields, ToolCallAnswer } from './answer.js';
import { generationFields } from './options.js';

const MAX_TOOLS = 1024;
const MAX_TOOL_CALLS = 128;

const ToolCall = z.looseObject({
  id: z.string().nullish(),
  function: z.looseObject({ name: z.string(), arguments: z.record(z.string(), z.unknown()).nullish() }),
});

const Message = z
  .looseObject({
    role: z.enum(['system', 'user', 'assistant', 'tool'], { error: 'must be "system", "user", "assistant" or "tool"' }),
    content: z.string().nullish(),
    thinking: z.string().nullish().describe('What an assistant thought before it answered.'),
    tool_calls: boundedArray(ToolCall, { max: MAX_TOOL_CALLS }).nullish(),
    tool_name: z.string().nullish().describe('Of a message of a tool: its name.'),
    tool_call_id: z.string().nullish(),
  })
  .superRefine(refuseImages)
  .openapi('OllamaMessage');

export type WireMessage = z.infer<typeof Message>;

/** For `superRefine`. */
export function refuseImages({ images }: Record<string, unknown>, context: z.RefinementCtx): void {
  if (images == null || (Array.isArray(images) && images.length === 0)) return;
  const message = 'this model is text-only: it takes no images';
  context.addIssue({ code: 'custom', path: ['images'], message, params: { code: 'unsupported_parameter' } });
}

const Tool = z
  .looseObject({
    type: z.literal('function').nullish(),
    function: z.looseObject({
      name: z.string().min(1),
      description: z.string().nullish(),
      parameters: z.record(z.string(), z.unknown()).nullish().describe('JSON Schema of the arguments.'),
    }),
  })
  .openapi('OllamaTool');

export const ChatRequest = z
  .looseObject({
    ...generationFields,
    messages: boundedArray(Message, { max: MAX_ITEMS })
      .nullish()
      .describe('None: only says that the model is loaded. A last message of the assistant is continued.'),
    tools: boundedArray(Tool, { max: MAX_TOOLS }).nullish(),
  })
  .superRefine(refuseFields({ _debug_render_only: [false] }))
  .openapi('OllamaChatRequest');

export type ChatBody = z.infer<typeof ChatRequest>;

export const ChatAnswer = z
  .object({
    ...headFields,
    message: z.object({
      role: z.literal('assistant'),
      content: z.string(),
      thinking: z.string().optional(),
      tool_calls: z.array(ToolCallAnswer).optional(),
    }),
    ...endFields,
  })
  .openapi('OllamaChatAnswer');
