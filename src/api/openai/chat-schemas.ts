import { z } from '@hono/zod-openapi';
import {
  boundedArray,
  commonFields,
  finishFields,
  MAX_ITEMS,
  MAX_LOGPROBS,
  refuseUnsupported,
  responseFields,
} from './schemas.js';

/** Bounded so that messages times parts stays small; see `boundedArray`. */
const MAX_CONTENT_PARTS = 128;

const TextPart = z
  .looseObject({
    type: z.literal('text', { error: 'this model is text-only: the only content parts it takes are of type "text"' }),
    text: z.string(),
  })
  .openapi('TextPart');

const Message = z
  .looseObject({
    role: z
      .string()
      .min(1)
      .describe('`system`, `developer` (the same), `user`, `assistant`, or what the template knows.'),
    content: z
      .union([z.string(), boundedArray(TextPart, { max: MAX_CONTENT_PARTS })], {
        error: `must be a string or a list of up to ${MAX_CONTENT_PARTS} content parts`,
      })
      .nullish(),
    name: z.string().nullish(),
  })
  .superRefine((message, context) => {
    const refuse = (field: string, what: string): void => {
      context.addIssue({
        code: 'custom',
        path: [field],
        message: `${what} are not supported by this server yet`,
        params: { code: 'unsupported_parameter' },
      });
    };
    if (message.role === 'tool' || message.role === 'function') refuse('role', `messages of role "${message.role}"`);
    if (Array.isArray(message.tool_calls) && message.tool_calls.length > 0) refuse('tool_calls', 'tool calls');
    if (message.function_call != null) refuse('function_call', 'function calls');
    if (message.audio != null) refuse('audio', 'audio messages');
  })
  .openapi('ChatMessage');

export type WireMessage = z.infer<typeof Message>;

export const ChatCompletionRequest = z
  .looseObject({
    ...commonFields,
    messages: boundedArray(Message, { min: 1, max: MAX_ITEMS }),
    max_completion_tokens: z.int().min(1).nullish().describe('The newer name of `max_tokens`; it wins.'),
    logprobs: z.boolean().nullish().describe('Return the log-probabilities of the chosen tokens.'),
    top_logprobs: z.int().min(0).max(MAX_LOGPROBS).nullish().describe('Alternatives to return for each token.'),
    add_generation_prompt: z.boolean().nullish().describe('Begin the answer in the chat template (default true).'),
    chat_template_kwargs: z.record(z.string(), z.unknown()).nullish().describe('Arguments for the chat template.'),
    reasoning_effort: z.string().nullish().describe('Handed to the chat template under this name.'),
  })
  .superRefine(
    refuseUnsupported({
      tools: [[]],
      tool_choice: ['none', 'auto'],
      functions: [[]],
      function_call: ['none', 'auto'],
      modalities: [['text']],
      audio: [],
      moderation: [],
      web_search_options: [],
      verbosity: ['medium'],
      store: [false],
      service_tier: ['auto', 'default'],
      echo: [false],
      continue_final_message: [false],
      add_special_tokens: [false],
      chat_template: [],
      documents: [[]],
    }),
  )
  .superRefine((body, context) => {
    if (body.top_logprobs != null && body.logprobs !== true) {
      context.addIssue({ code: 'custom', path: ['top_logprobs'], message: 'is only allowed when `logprobs` is true' });
    }
  })
  .openapi('ChatCompletionRequest');

export type ChatCompletionBody = z.infer<typeof ChatCompletionRequest>;

const TokenLogprob = z.object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()) });

const Logprobs = z
  .object({
    content: z.array(TokenLogprob.extend({ top_logprobs: z.array(TokenLogprob) })),
    refusal: z.null(),
  })
  .openapi('ChatLogprobs');

export const ChatCompletion = z
  .object({
    ...responseFields,
    object: z.literal('chat.completion'),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        logprobs: Logprobs.nullable(),
        ...finishFields,
      }),
    ),
  })
  .openapi('ChatCompletion');
