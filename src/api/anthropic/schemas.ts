import { z } from '@hono/zod-openapi';
import { boundedArray } from '../openai/bounded-array.js';
import { MAX_ITEMS, refuseFields } from '../openai/schemas.js';

/**
 * Anthropic's Messages API on the wire. Fields that no schema names are accepted and ignored (`cache_control` is one:
 * prefixes are always shared), fields that we know and cannot honour are refused. Everywhere null means absent.
 */

/** Bounded so that messages times blocks stays small; see `boundedArray`. */
const MAX_BLOCKS = 256;
const MAX_STOP_SEQUENCES = 64;
const MAX_TOOLS = 1024;

const TextBlock = z.looseObject({ type: z.literal('text'), text: z.string() }).openapi('AnthropicTextBlock');

const textOrBlocks = z.union(
  [
    z.string(),
    boundedArray(
      z.looseObject({
        type: z.literal('text', { error: 'this model is text-only: the only blocks it takes here are of type "text"' }),
        text: z.string(),
      }),
      { max: MAX_BLOCKS },
    ),
  ],
  { error: `must be a string or a list of up to ${MAX_BLOCKS} text blocks` },
);

const ToolUseBlock = z
  .looseObject({
    type: z.literal('tool_use'),
    id: z.string().min(1),
    name: z.string().min(1),
    input: z.record(z.string(), z.unknown()),
  })
  .openapi('AnthropicToolUseBlock');

const ToolResultBlock = z
  .looseObject({
    type: z.literal('tool_result'),
    tool_use_id: z.string().min(1),
    content: textOrBlocks.nullish(),
    is_error: z.boolean().nullish().describe('Accepted, without effect: the content says what went wrong.'),
  })
  .openapi('AnthropicToolResultBlock');

const ThinkingBlock = z
  .looseObject({
    type: z.literal('thinking'),
    thinking: z.string(),
    signature: z.string().nullish().describe('Accepted, without effect.'),
  })
  .openapi('AnthropicThinkingBlock');

const RedactedThinkingBlock = z.looseObject({ type: z.literal('redacted_thinking'), data: z.string() });

const ContentBlock = z.discriminatedUnion(
  'type',
  [TextBlock, ToolUseBlock, ToolResultBlock, ThinkingBlock, RedactedThinkingBlock],
  { error: 'this model is text-only: the blocks it takes are text, tool_use, tool_result and thinking' },
);

export type WireBlock = z.infer<typeof ContentBlock>;

const Message = z
  .looseObject({
    role: z.enum(['user', 'assistant', 'system'], { error: 'must be "user", "assistant" or "system"' }),
    content: z.union([z.string(), boundedArray(ContentBlock, { max: MAX_BLOCKS })], {
      error: `must be a string or a list of up to ${MAX_BLOCKS} content blocks`,
    }),
  })
  .superRefine(({ role, content }, context) => {
    if (typeof content === 'string') return;
    content.forEach(({ type }, i) => {
      const only = type === 'tool_result' ? 'user' : type === 'text' ? role : 'assistant';
      if (role !== only) {
        const message = `blocks of type "${type}" are only allowed in messages of role "${only}"`;
        context.addIssue({ code: 'custom', path: ['content', i, 'type'], message });
      }
    });
  })
  .openapi('AnthropicMessage');

export type WireMessage = z.infer<typeof Message>;

const Tool = z
  .looseObject({
    type: z
      .literal('custom', { error: 'this server runs no tools of its own: leave it out or set it to "custom"' })
      .nullish(),
    name: z
      .string()
      .regex(/^[\w.-]{1,128}$/, { error: 'must be 1 to 128 letters, digits, underscores, dots or dashes' }),
    description: z.string().nullish(),
    input_schema: z.record(z.string(), z.unknown()).describe('JSON Schema of the input.'),
  })
  .openapi('AnthropicTool');

const parallel = { disable_parallel_tool_use: z.boolean().nullish().describe('At most one call in an answer.') };

const ToolChoice = z.discriminatedUnion(
  'type',
  [
    z.looseObject({ type: z.literal('auto'), ...parallel }),
    z.looseObject({ type: z.literal('any'), ...parallel }),
    z.looseObject({ type: z.literal('tool'), name: z.string(), ...parallel }),
    z.looseObject({ type: z.literal('none') }),
  ],
  { error: 'must be "auto", "any", "tool" or "none"' },
);

const display = {
  display: z.enum(['summarized', 'omitted']).nullish().describe('`omitted`: do not tell the thoughts.'),
};

const Thinking = z.discriminatedUnion(
  'type',
  [
    z.looseObject({
      type: z.literal('enabled'),
      budget_tokens: z
        .int()
        .min(1)
        .nullish()
        .describe('Most tokens that the model thinks for; also handed to the chat template, as `thinking_budget`.'),
      ...display,
    }),
    z.looseObject({ type: z.enum(['adaptive', 'between_tools']), ...display }),
    z.looseObject({ type: z.literal('disabled') }),
  ],
  { error: 'must be "enabled", "adaptive", "between_tools" or "disabled"' },
);

const OutputFormat = z.looseObject({
  type: z.literal('json_schema'),
  schema: z.record(z.string(), z.unknown()),
});

const promptFields = {
  model: z.string().nullish().describe('Name of a served model; left out: the default model.'),
  messages: boundedArray(Message, { min: 1, max: MAX_ITEMS }).describe(
    'A last message of the assistant is the beginning of the answer.',
  ),
  system: textOrBlocks.nullish(),
  tools: boundedArray(Tool, { max: MAX_TOOLS }).nullish(),
  tool_choice: ToolChoice.nullish(),
  thinking: Thinking.nullish().describe('Handed to the chat template as `enable_thinking`.'),
  output_config: z
    .looseObject({
      effort: z.string().nullish().describe('Handed to the chat template as `reasoning_effort`.'),
      format: OutputFormat.nullish().describe('The JSON schema that the answer matches.'),
    })
    .nullish(),
};

export type PromptFields = z.infer<z.ZodObject<typeof promptFields>>;

function checkToolChoice({ tools, tool_choice }: PromptFields, context: z.RefinementCtx): void {
  if (tool_choice?.type !== 'tool' && tool_choice?.type !== 'any') return;
  const names = (tools ?? []).map(({ name }) => name);
  if (names.length === 0) {
    context.addIssue({ code: 'custom', path: ['tool_choice'], message: 'is only allowed together with `tools`' });
  } else if (tool_choice.type === 'tool' && !names.includes(tool_choice.name)) {
    context.addIssue({ code: 'custom', path: ['tool_choice', 'name'], message: 'is not the name of one of `tools`' });
  }
}

const refuse = refuseFields({ mcp_servers: [[]], container: [], context_management: [] });

export const MessagesRequest = z
  .looseObject({
    ...promptFields,
    max_tokens: z.int().min(1).describe('Most tokens to generate.'),
    stop_sequences: boundedArray(z.string().min(1), { max: MAX_STOP_SEQUENCES }).nullish(),
    stream: z.boolean().nullish().describe('Answer with server-sent events while tokens are generated.'),
    temperature: z.number().min(0).max(2).nullish().describe('0 is greedy; default 1.'),
    top_k: z.int().min(0).nullish().describe('Sample from the k likeliest tokens; 0: from all.'),
    top_p: z.number().gt(0).max(1).nullish().describe('Nucleus sampling mass.'),
    output_format: OutputFormat.nullish().describe('The older name of `output_config.format`.'),
    metadata: z.looseObject({}).nullish().describe('Accepted, without effect.'),
    service_tier: z.string().nullish().describe('Accepted, without effect.'),
  })
  .superRefine(refuse)
  .superRefine(checkToolChoice)
  .openapi('AnthropicMessagesRequest');

export type MessagesBody = z.infer<typeof MessagesRequest>;

export const CountTokensRequest = z
  .looseObject(promptFields)
  .superRefine(refuse)
  .superRefine(checkToolChoice)
  .openapi('AnthropicCountTokensRequest');

const Usage = z
  .object({
    input_tokens: z.int().describe('Without those read from the cache.'),
    cache_creation_input_tokens: z.int(),
    cache_read_input_tokens: z.int().describe('Prompt tokens whose KV came from the prefix cache.'),
    output_tokens: z.int(),
  })
  .openapi('AnthropicUsage');

export const MessagesAnswer = z
  .object({
    id: z.string(),
    type: z.literal('message'),
    role: z.literal('assistant'),
    model: z.string(),
    content: z.array(
      z.union([
        z.object({ type: z.literal('thinking'), thinking: z.string(), signature: z.string() }),
        z.object({ type: z.literal('text'), text: z.string() }),
        z.object({ type: z.literal('tool_use'), id: z.string(), name: z.string(), input: z.unknown() }),
      ]),
    ),
    stop_reason: z.enum(['end_turn', 'max_tokens', 'stop_sequence', 'tool_use']),
    stop_sequence: z.string().nullable(),
    usage: Usage,
  })
  .openapi('AnthropicMessageAnswer');

export const TokenCount = z.object({ input_tokens: z.int() }).openapi('AnthropicTokenCount');
