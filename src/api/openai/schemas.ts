import { isDeepStrictEqual } from 'node:util';
import { z } from '@hono/zod-openapi';
import { describeErrors, ERROR_STATUSES } from '../error-responses.js';
import { boundedArray } from './bounded-array.js';
import { refuseSeveralForms, structuredOutputFields } from './structured-output.js';

/**
 * What chat completions and completions have in common on the wire: OpenAI's fields under OpenAI's names, and further
 * sampling parameters under vLLM's. Everywhere null means absent. Fields that no schema names are accepted and ignored, as
 * vLLM does: its clients send fields of each other's servers and rely on it. Fields that we know and cannot honour are
 * refused (see `refuseUnsupported`), because an answer that ignores them would be a wrong answer.
 */

/** Most messages of a chat, and most prompts of one request. */
export const MAX_ITEMS = 2048;
const MAX_STOP_STRINGS = 64;
const MAX_STOP_TOKENS = 1024;
const MAX_LOGIT_BIASES = 4096;
const MAX_ALLOWED_TOKENS = 65_536;
const MAX_BAD_WORDS = 1024;
/** Alternatives per token. */
export const MAX_LOGPROBS = 20;

const StreamOptions = z.looseObject({
  include_usage: z.boolean().nullish().describe('Send a last chunk with the usage of the whole request.'),
  continuous_usage_stats: z.boolean().nullish().describe('Send the usage so far with every chunk (vLLM).'),
});

const LogitBias = z
  .custom<Record<string, number>>(isLogitBias, {
    error: `must be an object of up to ${MAX_LOGIT_BIASES} token ids, each with a number from -100 to 100`,
  })
  .openapi({ type: 'object', additionalProperties: { type: 'number', minimum: -100, maximum: 100 } });

function isLogitBias(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  return (
    entries.length <= MAX_LOGIT_BIASES &&
    entries.every(([token, bias]) => /^\d{1,9}$/.test(token) && typeof bias === 'number' && Math.abs(bias) <= 100)
  );
}

export const commonFields = {
  model: z.string().nullish().describe('Name of a served model; left out: the default model.'),
  n: z.int().min(1).max(128).nullish().describe('Number of choices for each prompt.'),
  max_tokens: z.int().min(1).nullish().describe('Most tokens to generate for each choice.'),
  n_predict: z.int().min(-1).nullish().describe("llama-server's name of `max_tokens`; -1: as many as fit."),
  stop: z
    .union([z.string().min(1), boundedArray(z.string().min(1), { max: MAX_STOP_STRINGS })], {
      error: `must be a string or a list of up to ${MAX_STOP_STRINGS} strings`,
    })
    .nullish()
    .describe('Generation ends before the first of these strings.'),
  stream: z.boolean().nullish().describe('Answer with server-sent events while tokens are generated.'),
  stream_options: StreamOptions.nullish(),
  user: z.string().nullish().describe('Accepted, without effect: nothing here depends on it.'),

  temperature: z.number().min(0).max(2).nullish().describe('0 is greedy.'),
  top_p: z.number().gt(0).max(1).nullish().describe('Nucleus sampling mass.'),
  top_k: z.int().min(-1).nullish().describe('Sample from the k likeliest tokens; 0 or -1: from all.'),
  min_p: z.number().min(0).max(1).nullish().describe('Least probability, relative to the likeliest token.'),
  typical_p: z.number().gt(0).max(1).nullish().describe('Locally typical sampling mass.'),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  repetition_penalty: z.number().gt(0).nullish().describe('Above 1: tokens already seen become less likely.'),
  repeat_penalty: z.number().gt(0).nullish().describe("llama-server's name of it."),
  logit_bias: LogitBias.nullish().describe('Added to the logits of these token ids.'),
  seed: z.int().nullish().describe('The same seed and request give the same answer.'),

  min_tokens: z.int().min(0).nullish().describe('No end of text and no stop token before this many tokens.'),
  stop_token_ids: boundedArray(z.int().min(0), { max: MAX_STOP_TOKENS }).nullish(),
  allowed_token_ids: boundedArray(z.int().min(0), { min: 1, max: MAX_ALLOWED_TOKENS })
    .nullish()
    .describe('The only tokens that can be generated (vLLM).'),
  bad_words: boundedArray(z.string().min(1), { max: MAX_BAD_WORDS })
    .nullish()
    .describe('Texts whose last token is not generated behind the others (vLLM).'),
  ignore_eos: z.boolean().nullish().describe("Go on after the model's end-of-text token."),
  include_stop_str_in_output: z.boolean().nullish(),
  skip_special_tokens: z.boolean().nullish().describe('Leave special tokens out of the text (default true).'),
  priority: z.int().nullish().describe('Lower runs earlier.'),
  cache_salt: z.string().min(1).nullish().describe('Share cached prompt prefixes only with requests of this salt.'),

  ...structuredOutputFields,
};

export type CommonFields = z.infer<z.ZodObject<typeof commonFields>>;

/** What chat completions and completions show of tokens, under vLLM's names. */
export const tokenFields = {
  prompt_logprobs: z
    .int()
    .min(0)
    .max(MAX_LOGPROBS)
    .nullish()
    .describe("Return log-probabilities of the prompt's tokens, with so many alternatives (vLLM)."),
  return_token_ids: z.boolean().nullish().describe('Return the token ids of prompt and answer (vLLM).'),
  return_tokens_as_token_ids: z
    .boolean()
    .nullish()
    .describe('Write tokens in log-probabilities as `token_id:42` (vLLM).'),
};

export type TokenFields = z.infer<z.ZodObject<typeof tokenFields>>;

/** Fields we know and do not support, each with the values that ask for nothing. */
export type UnsupportedFields = Record<string, readonly unknown[]>;

/** llama.cpp's samplers that Quire does not have. */
export const unsupportedSamplers: UnsupportedFields = {
  mirostat: [0],
  dry_multiplier: [0],
  xtc_probability: [0],
  dynatemp_range: [0],
  top_n_sigma: [-1, 0],
  adaptive_target: [-1],
};

/** Unsupported in both protocols: extensions of vLLM and llama-server. */
const commonUnsupported: UnsupportedFields = {
  ...unsupportedSamplers,
  use_beam_search: [false],
  length_penalty: [1],
  logprob_token_ids: [[]],
  repetition_detection: [],
  truncate_prompt_tokens: [],
  logits_processors: [[]],
  spaces_between_special_tokens: [true],
};

/** For `superRefine` of a request: refuses these fields. */
export function refuseFields(fields: UnsupportedFields) {
  const unsupported = Object.entries(fields);
  return (body: Record<string, unknown>, context: z.RefinementCtx): void => {
    for (const [field, neutral] of unsupported) {
      const value = Object.hasOwn(body, field) ? body[field] : undefined;
      if (value === undefined || value === null || neutral.some((n) => isDeepStrictEqual(n, value))) continue;
      const instead = neutral.map((n) => ` or set it to ${JSON.stringify(n)}`).join('');
      context.addIssue({
        code: 'custom',
        path: [field],
        message: `is not supported by this server: leave it out${instead}`,
        params: { code: 'unsupported_parameter' },
      });
    }
  };
}

/** What the OpenAPI document says of them. */
export function documentUnsupported(fields: UnsupportedFields) {
  return { 'x-unsupported': { ...commonUnsupported, ...fields } };
}

/** For `superRefine` of a request: refuses unsupported fields, several forms, and stream options without a stream. */
export function refuseUnsupported(fields: UnsupportedFields) {
  const refuse = refuseFields({ ...commonUnsupported, ...fields });
  return (body: Record<string, unknown>, context: z.RefinementCtx): void => {
    refuse(body, context);
    if (body.prompt_logprobs != null && body.stream === true) {
      context.addIssue({
        code: 'custom',
        path: ['prompt_logprobs'],
        message: 'is not available when `stream` is true',
      });
    }
    refuseSeveralForms(body, context);
    if (body.stream_options != null && body.stream !== true) {
      context.addIssue({
        code: 'custom',
        path: ['stream_options'],
        message: 'is only allowed when `stream` is true',
      });
    }
  };
}

const TokenUsage = z
  .object({
    prompt_tokens: z.int(),
    completion_tokens: z.int(),
    total_tokens: z.int(),
    prompt_tokens_details: z.object({ cached_tokens: z.int() }),
  })
  .openapi('Usage');

export const responseFields = {
  id: z.string(),
  created: z.int().describe('Unix seconds.'),
  model: z.string(),
  system_fingerprint: z.string().describe('Same fingerprint, seed and request: same answer.'),
  usage: TokenUsage,
};

/** Token ids in an answer, where they were asked for. */
export const tokenIdsField = z.array(z.int()).optional();

export const promptLogprobsField = z
  .array(z.record(z.string(), z.object({ logprob: z.number(), rank: z.int(), decoded_token: z.string() })).nullable())
  .optional()
  .describe('By token id, for each token of the prompt; where they were asked for.');

export const finishFields = {
  finish_reason: z.enum(['stop', 'length', 'tool_calls']),
  stop_reason: z
    .union([z.string(), z.int()])
    .nullable()
    .describe("The stop string or token id that ended the choice; null for the model's own end."),
};

export const ErrorResponse = z
  .object({
    error: z.object({
      message: z.string(),
      type: z.string(),
      param: z.string().nullable(),
      code: z.string().nullable(),
    }),
  })
  .openapi('Error');

/** What any route that generates may answer besides a success. */
export const errorResponses = describeErrors(ERROR_STATUSES, ErrorResponse);
