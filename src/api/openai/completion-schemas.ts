import { z } from '@hono/zod-openapi';
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

/** One prompt as text or as token ids, or a list of either. */
export type WirePrompt = string | string[] | number[] | number[][];

const isTokenId = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
const isTokenIds = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isTokenId);

function isWirePrompt(value: unknown): value is WirePrompt {
  if (typeof value === 'string' || isTokenIds(value)) return true;
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_ITEMS) return false;
  return value.every((prompt) => typeof prompt === 'string') || value.every(isTokenIds);
}

const tokenIds = { type: 'array', items: { type: 'integer', minimum: 0 }, minItems: 1 } as const;

// Checked by hand: as a zod union every token of a long prompt would be tried against every branch.
const PromptField = z
  .custom<WirePrompt>(isWirePrompt, {
    error: `must be a string, a list of token ids, or a list of up to ${MAX_ITEMS} of either`,
  })
  .openapi({
    type: ['string', 'array'],
    oneOf: [
      { type: 'string' },
      { type: 'array', items: { type: 'string' }, minItems: 1, maxItems: MAX_ITEMS },
      tokenIds,
      { type: 'array', items: tokenIds, minItems: 1, maxItems: MAX_ITEMS },
    ],
  });

const unsupported: UnsupportedFields = { add_special_tokens: [true] };

export const CompletionRequest = z
  .looseObject({
    ...commonFields,
    ...tokenFields,
    prompt: PromptField,
    max_tokens: z
      .int()
      .min(0)
      .nullish()
      .describe('Most tokens to generate for each choice; 0: none, where the prompt is what is asked for.'),
    suffix: z.string().nullish().describe('What comes after the answer, for models that can fill gaps.'),
    echo: z.boolean().nullish().describe('Begin the text with the prompt.'),
    best_of: z
      .int()
      .min(1)
      .max(128)
      .nullish()
      .describe('Generate so many choices and return the `n` whose tokens are likeliest on average.'),
    logprobs: z.int().min(0).max(MAX_LOGPROBS).nullish().describe('Log-probabilities, with this many alternatives.'),
  })
  .superRefine(refuseUnsupported(unsupported))
  .superRefine((body, context) => {
    const refuse = (field: string, message: string): void => {
      context.addIssue({ code: 'custom', path: [field], message, params: { code: 'unsupported_parameter' } });
    };
    const n = body.n ?? 1;
    if (body.best_of != null && body.best_of < n) {
      context.addIssue({ code: 'custom', path: ['best_of'], message: 'must not be less than `n`' });
    }
    if (body.best_of != null && body.best_of > n && body.stream) {
      context.addIssue({ code: 'custom', path: ['best_of'], message: 'cannot be more than `n` when `stream` is true' });
    }
    const isTexts = [body.prompt].flat().every((prompt) => typeof prompt === 'string');
    if (body.suffix && !isTexts) refuse('suffix', 'is not supported for prompts of token ids');
    if (body.max_tokens === 0 && !body.echo && body.prompt_logprobs == null) {
      const message = 'must be at least 1, unless there is `echo` or `prompt_logprobs`';
      context.addIssue({ code: 'custom', path: ['max_tokens'], message });
    }
    if (body.echo && body.suffix && body.logprobs != null)
      refuse('echo', 'is not supported with `suffix` and `logprobs`');
  })
  .openapi('CompletionRequest', documentUnsupported(unsupported));

export type CompletionBody = z.infer<typeof CompletionRequest>;

const Logprobs = z
  .object({
    tokens: z.array(z.string()),
    token_logprobs: z.array(z.number().nullable()),
    top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
    text_offset: z.array(z.int()),
  })
  .openapi('CompletionLogprobs');

export const Completion = z
  .object({
    ...responseFields,
    object: z.literal('text_completion'),
    choices: z.array(
      z.object({
        text: z.string(),
        index: z.int(),
        logprobs: Logprobs.nullable(),
        prompt_logprobs: promptLogprobsField,
        prompt_token_ids: tokenIdsField,
        token_ids: tokenIdsField,
        ...finishFields,
      }),
    ),
  })
  .openapi('Completion');
