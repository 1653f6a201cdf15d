import { z } from '@hono/zod-openapi';
import { boundedArray } from '../openai/bounded-array.js';
import { MAX_ITEMS, MAX_LOGPROBS, refuseFields, unsupportedSamplers } from '../openai/schemas.js';

const MAX_STOP_STRINGS = 64;
const MAX_LOGIT_BIASES = 4096;

/** One prompt: text, token ids, or both in one list. */
export type WireText = string | (string | number)[] | { prompt_string: string };
export type WirePrompt = WireText | WireText[];

/** Texts between the token ids of a prompt. */
const MAX_PARTS = 256;

const isTokenId = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

/** Whether a list is one prompt, not several. */
export function isMixed(value: unknown): value is (string | number)[] {
  if (!Array.isArray(value) || !value.some(isTokenId)) return false;
  const texts = value.filter((part) => typeof part === 'string').length;
  return texts <= MAX_PARTS && value.every((part) => typeof part === 'string' || isTokenId(part));
}

function isText(value: unknown): value is WireText {
  if (typeof value === 'string' || isMixed(value)) return true;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  return 'prompt_string' in value && typeof value.prompt_string === 'string' && !('multimodal_data' in value);
}

function isWirePrompt(value: unknown): value is WirePrompt {
  if (isText(value)) return true;
  return Array.isArray(value) && value.length > 0 && value.length <= MAX_ITEMS && value.every(isText);
}

const text = { type: 'string' } as const;
const tokens: { type: 'array'; items: { type: ['integer', 'string'] }; minItems: number; description: string } = {
  type: 'array',
  items: { type: ['integer', 'string'] },
  minItems: 1,
  description: 'Token ids, and texts between them.',
};
const promptString: { type: 'object'; properties: { prompt_string: typeof text }; required: string[] } = {
  type: 'object',
  properties: { prompt_string: text },
  required: ['prompt_string'],
};
const anyText = [text, tokens, promptString];

// Checked by hand: as a zod union every token of a long prompt would be tried against every branch.
const PromptField = z
  .custom<WirePrompt>(isWirePrompt, {
    error: `must be a string, a list of token ids and texts, {"prompt_string": …}, or a list of up to ${MAX_ITEMS} of these`,
  })
  .openapi({
    type: ['string', 'array', 'object'],
    anyOf: [...anyText, { type: 'array', items: { anyOf: anyText }, minItems: 1, maxItems: MAX_ITEMS }],
  });

/** Token ids with what is added to their logits; `false` bans a token. */
export type WireLogitBias = [token: number, bias: number | false][] | Record<string, number | false>;

const isBias = (value: unknown): boolean => value === false || (typeof value === 'number' && Math.abs(value) <= 1e6);

function isLogitBias(value: unknown): value is WireLogitBias {
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(value)) {
    const isPair = (pair: unknown) => Array.isArray(pair) && pair.length === 2 && isTokenId(pair[0]) && isBias(pair[1]);
    return value.length <= MAX_LOGIT_BIASES && value.every(isPair);
  }
  const entries = Object.entries(value);
  return entries.length <= MAX_LOGIT_BIASES && entries.every(([key, bias]) => /^\d{1,9}$/.test(key) && isBias(bias));
}

const LogitBias = z
  .custom<WireLogitBias>(isLogitBias, {
    error: `must be a list of up to ${MAX_LOGIT_BIASES} pairs [token id, number or false], or an object of such`,
  })
  .openapi({ type: ['array', 'object'], description: 'Token ids with what is added to their logits; false: never.' });

const completionFields = {
  model: z.string().nullish().describe('Name of a served model; left out: the default model.'),
  n_predict: z.int().min(-1).nullish().describe('Most tokens to generate; -1 (default): as many as fit.'),
  max_tokens: z.int().min(-1).nullish().describe('Another name of `n_predict`, which wins.'),
  n: z.int().min(1).max(128).nullish().describe('Completions of each prompt.'),
  n_cmpl: z.int().min(1).max(128).nullish().describe('Another name of `n`; it wins.'),
  stream: z.boolean().nullish(),
  stop: z
    .union([z.string(), boundedArray(z.string(), { max: MAX_STOP_STRINGS })], {
      error: `must be a string or a list of up to ${MAX_STOP_STRINGS} strings`,
    })
    .nullish(),
  temperature: z.number().min(0).nullish().describe('Default 0.8; 0 is greedy.'),
  top_k: z.int().nullish().describe('Default 40; 0 or less: all.'),
  top_p: z.number().gt(0).max(1).nullish().describe('Default 0.95.'),
  min_p: z.number().min(0).max(1).nullish().describe('Default 0.05.'),
  typical_p: z.number().gt(0).max(1).nullish(),
  repeat_penalty: z.number().gt(0).nullish().describe('Over prompt and answer, whatever `repeat_last_n` says.'),
  repeat_last_n: z.int().min(-1).nullish().describe('0 switches penalties off; all other values mean: everything.'),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
  seed: z.int().nullish().describe('-1 or 4294967295: a random one.'),
  logit_bias: LogitBias.nullish(),
  ignore_eos: z.boolean().nullish(),
  n_probs: z
    .int()
    .min(0)
    .max(MAX_LOGPROBS)
    .nullish()
    .describe('Above 0: log-probabilities of so many tokens in each place.'),
  return_tokens: z.boolean().nullish().describe('Return token ids too.'),
  json_schema: z.record(z.string(), z.unknown()).nullish().describe('JSON schema that the answer matches.'),
  grammar: z.string().nullish().describe('GBNF grammar of the answer.'),
  cache_prompt: z.boolean().nullish().describe('Share the cached beginning of the prompt (default true).'),
  timings_per_token: z.boolean().nullish().describe('Timings in every event of a stream.'),
  id_slot: z.int().nullish().describe('Accepted, without effect: any number of requests share the batch.'),
  samplers: z
    .unknown()
    .optional()
    .describe('Accepted, without effect: filters that are asked for apply in a fixed order.'),
  n_keep: z.int().nullish().describe('Accepted, without effect: prompts are never cut.'),
};

type CompletionFields = z.infer<z.ZodObject<typeof completionFields>>;

const UNSUPPORTED = {
  ...unsupportedSamplers,
  ...{ min_keep: [0], n_indent: [0], t_max_predict_ms: [-1, 0], post_sampling_probs: [false], lora: [[]] },
  ...{ response_fields: [[]], return_progress: [false], echo: [false], image_data: [[]] },
};

/** For `superRefine`. */
function checkCompletion(body: CompletionFields, context: z.RefinementCtx): void {
  const refuse = (field: string, message: string): void => {
    context.addIssue({ code: 'custom', path: [field], message });
  };
  for (const field of ['n_predict', 'max_tokens'] as const) {
    if (body[field] === 0) refuse(field, 'must be -1 or at least 1: a prompt alone is not computed');
  }
  if (body.json_schema != null && body.grammar) refuse('grammar', 'is not allowed together with `json_schema`');
}

export const CompletionRequest = z
  .looseObject({ ...completionFields, prompt: PromptField })
  .superRefine(refuseFields(UNSUPPORTED))
  .superRefine(checkCompletion)
  .openapi('LlamaServerCompletionRequest');

export const InfillRequest = z
  .looseObject({
    ...completionFields,
    input_prefix: z.string().describe('What comes before the answer.'),
    input_suffix: z.string().describe('What comes after it.'),
  })
  .superRefine(refuseFields({ ...UNSUPPORTED, prompt: [''], input_extra: [[]] }))
  .superRefine(checkCompletion)
  .openapi('LlamaServerInfillRequest');

export type CompletionBody = CompletionFields;

const TokenProbability = z.object({ id: z.int(), token: z.string(), bytes: z.array(z.int()), logprob: z.number() });

export const Timings = z
  .object({
    cache_n: z.int(),
    prompt_n: z.int(),
    prompt_ms: z.number(),
    prompt_per_token_ms: z.number(),
    prompt_per_second: z.number(),
    predicted_n: z.int(),
    predicted_ms: z.number(),
    predicted_per_token_ms: z.number(),
    predicted_per_second: z.number(),
  })
  .openapi('LlamaServerTimings');

const Completion = z
  .object({
    index: z.int(),
    content: z.string(),
    tokens: z.array(z.int()),
    id_slot: z.int(),
    stop: z.literal(true),
    model: z.string(),
    tokens_predicted: z.int(),
    tokens_evaluated: z.int().describe('Of the prompt.'),
    generation_settings: z.record(z.string(), z.unknown()),
    prompt: z.unknown().optional().describe('As it was sent.'),
    has_new_line: z.boolean(),
    truncated: z.literal(false),
    stop_type: z.enum(['eos', 'limit', 'word']),
    stopping_word: z.string(),
    tokens_cached: z.int(),
    timings: Timings,
    completion_probabilities: z.array(TokenProbability.extend({ top_logprobs: z.array(TokenProbability) })).optional(),
  })
  .openapi('LlamaServerCompletion');

/** One completion, or a list where several were asked for. */
export const CompletionAnswer = z.union([Completion, z.array(Completion)]);
export type WireCompletion = z.infer<typeof Completion>;
