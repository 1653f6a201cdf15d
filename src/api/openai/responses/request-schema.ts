import { z } from '@hono/zod-openapi';
import { boundedArray } from '../bounded-array.js';
import { commonFields, MAX_ITEMS, MAX_LOGPROBS, refuseUnsupported } from '../schemas.js';
import { refuseSeveralForms, structuredOutputFields, toStructuredOutput } from '../structured-output.js';
import { InputItem } from './item-schemas.js';

const MAX_TOOLS = 128;
const MAX_METADATA = 16;
const MAX_METADATA_KEY = 64;
const MAX_METADATA_VALUE = 512;

const INCLUDABLE = [
  'message.output_text.logprobs',
  'reasoning.encrypted_content',
  'file_search_call.results',
  'web_search_call.results',
  'web_search_call.action.sources',
  'message.input_image.image_url',
  'computer_call_output.output.image_url',
  'code_interpreter_call.outputs',
] as const;

const Metadata = z
  .custom<Record<string, string>>(isMetadata, {
    error:
      `must be an object of up to ${MAX_METADATA} strings of up to ${MAX_METADATA_VALUE} characters, ` +
      `under names of up to ${MAX_METADATA_KEY}`,
  })
  .openapi({
    type: 'object',
    additionalProperties: { type: 'string', maxLength: MAX_METADATA_VALUE },
    maxProperties: MAX_METADATA,
  });

function isMetadata(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  return (
    entries.length <= MAX_METADATA &&
    entries.every(
      ([key, text]) => key.length <= MAX_METADATA_KEY && typeof text === 'string' && text.length <= MAX_METADATA_VALUE,
    )
  );
}

const FunctionTool = z
  .looseObject({
    type: z.literal('function', { error: 'must be "function": this server runs no tools of its own' }),
    name: z.string().regex(/^[\w.-]{1,64}$/, { error: 'must be 1 to 64 letters, digits, underscores, dots or dashes' }),
    description: z.string().nullish(),
    parameters: z.record(z.string(), z.unknown()).nullish().describe('JSON Schema of the arguments.'),
    strict: z.boolean().nullish().describe('Accepted, without effect: arguments always match their schema.'),
  })
  .openapi('ResponseTool');

const ToolChoice = z
  .union(
    [
      z.enum(['none', 'auto', 'required']),
      z.discriminatedUnion(
        'type',
        [
          z.looseObject({ type: z.literal('function'), name: z.string() }),
          z.looseObject({
            type: z.literal('allowed_tools'),
            mode: z.enum(['auto', 'required'], { error: 'must be "auto" or "required"' }),
            tools: boundedArray(
              z.looseObject({ type: z.literal('function', { error: 'must be "function"' }), name: z.string() }),
              { min: 1, max: MAX_TOOLS },
            ),
          }),
        ],
        { error: 'must be "function" or "allowed_tools": this server runs no tools of its own' },
      ),
    ],
    { error: 'must be "none", "auto", "required", a function or allowed_tools' },
  )
  .openapi('ResponseToolChoice');

const TextFormat = z
  .discriminatedUnion(
    'type',
    [
      z.looseObject({ type: z.literal('text') }),
      z.looseObject({ type: z.literal('json_object') }),
      z.looseObject({
        type: z.literal('json_schema'),
        name: z.string().regex(/^[\w-]{1,64}$/, { error: 'must be 1 to 64 letters, digits, underscores or dashes' }),
        description: z.string().nullish(),
        schema: z.record(z.string(), z.unknown()),
        strict: z.boolean().nullish(),
      }),
    ],
    { error: 'must be "text", "json_object" or "json_schema"' },
  )
  .openapi('ResponseTextFormat');

const Reasoning = z.looseObject({
  effort: z.string().nullish().describe('Handed to the chat template; `none` also as `enable_thinking: false`.'),
  summary: z
    .enum(['auto', 'concise', 'detailed'])
    .nullish()
    .describe('Accepted, without effect: what the model thinks is given in full, nothing is summed up.'),
});

const StreamOptions = z.looseObject({
  include_obfuscation: z.boolean().nullish().describe('Only false: events are not padded.'),
});

const input = z
  .union([z.string(), boundedArray(InputItem, { max: MAX_ITEMS })], {
    error: `must be a string or a list of up to ${MAX_ITEMS} items`,
  })
  .nullish();

/** What decides the prompt. */
const promptFields = {
  model: commonFields.model,
  input: input.describe('A message of the user, or a list of items; may be empty behind a previous response.'),
  instructions: z.string().nullish().describe('A system message before all others; not kept for the next response.'),
  previous_response_id: z.string().nullish().describe('A stored response: the conversation goes on behind it.'),
  tools: boundedArray(FunctionTool, { max: MAX_TOOLS }).nullish().describe('Functions that the model may call.'),
  tool_choice: ToolChoice.nullish().describe('Whether it may (`auto`, the default with tools), must not or must.'),
  parallel_tool_calls: z.boolean().nullish().describe('Allow several calls in one answer (default true).'),
  reasoning: Reasoning.nullish(),
  text: z
    .looseObject({
      format: TextFormat.nullish().describe('What the text has to look like.'),
      verbosity: z.enum(['low', 'medium', 'high']).nullish().describe('Only `medium`.'),
    })
    .nullish(),
  truncation: z
    .enum(['auto', 'disabled'])
    .nullish()
    .describe('`auto`: leave out the oldest turns of a conversation that does not fit (default `disabled`).'),
  chat_template_kwargs: z
    .record(z.string(), z.unknown())
    .nullish()
    .describe('Arguments for the chat template, e.g. `{"enable_thinking": false}` (vLLM).'),
};

/** Sampling fields of the other protocols; what responses call otherwise is left out. */
const {
  n: _n,
  max_tokens: _maxTokens,
  n_predict: _nPredict,
  stream_options: _streamOptions,
  user: _user,
  ...samplingFields
} = commonFields;

/** Forms of answers that OpenAI has no names for. */
const { response_format: _responseFormat, ...formFields } = structuredOutputFields;

/** Chat completions' names of what responses have under another one. */
const MOVED = {
  messages: 'input',
  max_tokens: 'max_output_tokens',
  max_completion_tokens: 'max_output_tokens',
  n_predict: 'max_output_tokens',
  response_format: 'text.format',
  reasoning_effort: 'reasoning.effort',
  verbosity: 'text.verbosity',
  logprobs: 'include: ["message.output_text.logprobs"]',
};

const UNSUPPORTED = {
  prompt_logprobs: [],
  return_token_ids: [false],
  return_tokens_as_token_ids: [false],
  background: [false],
  conversation: [],
  prompt: [],
  context_management: [[]],
  moderation: [],
  n: [1],
};

/** What clients should do. As at OpenAI's, `input` may be left out where there is a previous response. */
const WITH_INPUT = { required: ['input'] };

type PromptFields = z.infer<z.ZodObject<typeof promptFields>>;

export const ResponsesRequest = z
  .looseObject({
    ...samplingFields,
    ...formFields,
    ...promptFields,
    max_output_tokens: z.int().min(1).nullish().describe('Most tokens to generate, reasoning included.'),
    top_logprobs: z
      .int()
      .min(0)
      .max(MAX_LOGPROBS)
      .nullish()
      .describe('Alternatives for each token of the text; more than 0 includes log-probabilities.'),
    include: boundedArray(z.enum(INCLUDABLE, { error: `must be one of ${INCLUDABLE.join(', ')}` }), {
      max: INCLUDABLE.length,
    })
      .nullish()
      .describe('`message.output_text.logprobs`; others are accepted, without effect: there is nothing to include.'),
    max_tool_calls: z
      .int()
      .min(1)
      .nullish()
      .describe('Accepted, without effect: it limits tools that run in the server, and there are none.'),
    store: z.boolean().nullish().describe('Keep the response for `previous_response_id` and GET (default true).'),
    metadata: Metadata.nullish().describe('Returned with the response.'),
    stream_options: StreamOptions.nullish(),
    service_tier: z
      .string()
      .nullish()
      .describe('`flex`: can wait, all else goes first; `priority`: goes first; anything else is `default`.'),
    prompt_cache_key: z.string().nullish().describe('Accepted, without effect: every prefix is found anyway.'),
    prompt_cache_retention: z.string().nullish().describe('Accepted, without effect.'),
    safety_identifier: z.string().nullish().describe('Accepted, without effect.'),
    user: z.string().nullish().describe('Accepted, without effect.'),
  })
  .superRefine(refuseMoved)
  .superRefine(refuseUnsupported(UNSUPPORTED))
  .superRefine(checkPrompt)
  .superRefine(refuseSeveralForms)
  .superRefine((body, context) => {
    const format = body.text?.format?.type ?? 'text';
    if (format !== 'text' && toStructuredOutput(body) !== undefined) {
      const message = 'is not allowed together with another form of the answer';
      context.addIssue({ code: 'custom', path: ['text', 'format'], message });
    }
    if (body.stream_options?.include_obfuscation) {
      context.addIssue({
        code: 'custom',
        path: ['stream_options', 'include_obfuscation'],
        message: 'is not supported by this server: leave it out or set it to false',
        params: { code: 'unsupported_parameter' },
      });
    }
  })
  .openapi('ResponsesRequest', WITH_INPUT);

export type ResponsesBody = z.infer<typeof ResponsesRequest>;

/** What a prompt is made of, for counting its tokens. */
export const InputTokensRequest = z
  .looseObject(promptFields)
  .superRefine(refuseMoved)
  .superRefine(refuseUnsupported(UNSUPPORTED))
  .superRefine(checkPrompt)
  .openapi('ResponseInputTokensRequest', WITH_INPUT);

export type PromptBody = z.infer<typeof InputTokensRequest>;

function refuseMoved(body: Record<string, unknown>, context: z.RefinementCtx): void {
  for (const [field, instead] of Object.entries(MOVED)) {
    if (!Object.hasOwn(body, field) || body[field] === null) continue;
    context.addIssue({
      code: 'custom',
      path: [field],
      message: `is not a field of responses: use \`${instead}\``,
      params: { code: 'unsupported_parameter' },
    });
  }
}

function checkPrompt(body: PromptFields, context: z.RefinementCtx): void {
  const refuse = (path: string[], message: string, code?: string): void => {
    context.addIssue({ code: 'custom', path, message, params: { code } });
  };
  if (body.input == null && body.previous_response_id == null) refuse(['input'], 'is required');
  if (body.text?.verbosity != null && body.text.verbosity !== 'medium') {
    const message = 'is not supported by this server: leave it out or set it to "medium"';
    refuse(['text', 'verbosity'], message, 'unsupported_parameter');
  }
  const names = body.tools?.map(({ name }) => name) ?? [];
  if (new Set(names).size < names.length) refuse(['tools'], 'must have names that differ');
  const choice = body.tool_choice;
  if (choice == null || choice === 'none' || choice === 'auto') return;
  if (names.length === 0) {
    refuse(['tool_choice'], 'is only allowed when `tools` are given');
    return;
  }
  if (choice === 'required') return;
  const chosen = choice.type === 'function' ? [choice] : choice.tools;
  const unknown = chosen.find(({ name }) => !names.includes(name));
  if (unknown) refuse(['tool_choice'], `names the function \`${unknown.name}\`, which is not among the tools`);
}
