import { z } from '@hono/zod-openapi';
import { boundedArray } from './bounded-array.js';
import { messageSchema } from './message-schemas.js';
import {
  commonFields,
  documentUnsupported,
  finishFields,
  MAX_ITEMS,
  MAX_LOGPROBS,
  promptLogprobsField,
  refuseUnsupported,
  responseFields,
  tokenFields,
  tokenIdsField,
  type UnsupportedFields,
} from './schemas.js';
import { Tool, ToolChoice } from './tool-schemas.js';

const MAX_TOOLS = 128;

const unsupported: UnsupportedFields = {
  functions: [[]],
  function_call: ['none', 'auto'],
  modalities: [['text']],
  audio: [],
  prediction: [],
  moderation: [],
  web_search_options: [],
  verbosity: ['medium'],
  store: [false],
  echo: [false],
  add_special_tokens: [false],
  chat_template: [],
};

const thinkingBudget = z.int().min(-1).nullish();

export const ChatCompletionRequest = z
  .looseObject({
    ...commonFields,
    ...tokenFields,
    messages: boundedArray(messageSchema, { min: 1, max: MAX_ITEMS }),
    max_completion_tokens: z.int().min(1).nullish().describe('The newer name of `max_tokens`; it wins.'),
    logprobs: z.boolean().nullish().describe('Return the log-probabilities of the chosen tokens.'),
    top_logprobs: z.int().min(0).max(MAX_LOGPROBS).nullish().describe('Alternatives to return for each token.'),
    tools: boundedArray(Tool, { max: MAX_TOOLS }).nullish().describe('Functions that the model may call.'),
    tool_choice: ToolChoice.nullish().describe('Whether it may (`auto`, the default with tools), must not or must.'),
    parallel_tool_calls: z.boolean().nullish().describe('Allow several calls in one answer (default true).'),
    add_generation_prompt: z.boolean().nullish().describe('Begin the answer in the chat template (default true).'),
    continue_final_message: z.boolean().nullish().describe('Go on with the last message instead of a new one (vLLM).'),
    documents: z.array(z.record(z.string(), z.unknown())).nullish().describe('Handed to the chat template.'),
    chat_template_kwargs: z
      .record(z.string(), z.unknown())
      .nullish()
      .describe('Arguments for the chat template, e.g. `{"enable_thinking": false}`.'),
    reasoning_effort: z
      .string()
      .nullish()
      .describe('Handed to the chat template; `none` also as `enable_thinking: false`.'),
    include_reasoning: z.boolean().nullish().describe('Return what the model thought (vLLM; default true).'),
    thinking_token_budget: thinkingBudget.describe('Most tokens that the model thinks for (vLLM); -1: any number.'),
    thinking_budget_tokens: thinkingBudget.describe('The same (llama-server).'),
    reasoning_format: z
      .enum(['auto', 'none', 'deepseek'])
      .nullish()
      .describe('`none` leaves reasoning, with its markup, in the content (llama-server).'),
    metadata: z
      .record(z.string(), z.unknown())
      .nullish()
      .describe('Accepted, without effect: nothing here depends on it.'),
    service_tier: z
      .string()
      .nullish()
      .describe(
        '`flex`: can wait, all else goes first; `priority`: goes first; anything else is `default`. `priority` says it in numbers.',
      ),
    prompt_cache_key: z.string().nullish().describe('Accepted, without effect: every prefix is found anyway.'),
    safety_identifier: z.string().nullish().describe('Accepted, without effect: nothing here depends on it.'),
  })
  .superRefine(refuseUnsupported(unsupported))
  .superRefine((body, context) => {
    const refuse = (field: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [field], message });
    };
    if (body.top_logprobs != null && body.logprobs !== true) {
      refuse('top_logprobs', 'is only allowed when `logprobs` is true');
    }
    if (body.continue_final_message && body.add_generation_prompt) {
      refuse('continue_final_message', 'is only allowed when `add_generation_prompt` is not true');
    }
    const names = body.tools?.map((tool) => tool.function.name) ?? [];
    const choice = body.tool_choice;
    if (names.length === 0 && choice != null && choice !== 'none' && choice !== 'auto') {
      refuse('tool_choice', 'is only allowed when `tools` are given');
    } else if (typeof choice === 'object' && choice !== null && !names.includes(choice.function.name)) {
      refuse('tool_choice', `names the function \`${choice.function.name}\`, which is not among the tools`);
    }
    if (new Set(names).size < names.length) refuse('tools', 'must have names that differ');
  })
  .openapi('ChatCompletionRequest', documentUnsupported(unsupported));

export type ChatCompletionBody = z.infer<typeof ChatCompletionRequest>;

const TokenLogprob = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()) });

const Logprobs = z
  .object({
    content: z.array(TokenLogprob.extend({ top_logprobs: z.array(TokenLogprob) })),
    refusal: z.null(),
  })
  .openapi('ChatLogprobs');

const ToolCall = z
  .object({
    id: z.string(),
    type: z.literal('function'),
    function: z.object({ name: z.string(), arguments: z.string().describe('JSON.') }),
  })
  .openapi('ToolCall');

export const ChatCompletion = z
  .object({
    ...responseFields,
    object: z.literal('chat.completion'),
    prompt_logprobs: promptLogprobsField,
    prompt_token_ids: tokenIdsField,
    service_tier: z.enum(['default', 'flex', 'priority']).optional().describe('Where the request has one.'),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({
          role: z.literal('assistant'),
          content: z.string().nullable().describe('null where there are tool calls and nothing else.'),
          reasoning_content: z.string().optional().describe('What the model thought before it answered.'),
          tool_calls: z.array(ToolCall).optional(),
          refusal: z.null(),
        }),
        logprobs: Logprobs.nullable(),
        token_ids: tokenIdsField,
        ...finishFields,
      }),
    ),
  })
  .openapi('ChatCompletion');
