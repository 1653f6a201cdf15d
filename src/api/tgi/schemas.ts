import { z } from '@hono/zod-openapi';
import { boundedArray } from '../openai/bounded-array.js';
import { MAX_LOGPROBS, refuseFields } from '../openai/schemas.js';

export const MAX_STOP_STRINGS = 64;

const jsonSchema = z.record(z.string(), z.unknown());

const Grammar = z
  .discriminatedUnion(
    'type',
    [
      z.looseObject({ type: z.enum(['json', 'json_object']), value: jsonSchema.describe('A JSON schema.') }),
      z.looseObject({ type: z.literal('json_schema'), value: z.looseObject({ schema: jsonSchema }) }),
      z.looseObject({ type: z.literal('regex'), value: z.string() }),
    ],
    { error: 'must be "json", "json_schema" or "regex"' },
  )
  .openapi('TgiGrammar');

const Parameters = z
  .looseObject({
    do_sample: z
      .boolean()
      .nullish()
      .describe('Default false, as long as nothing below needs it; true without parameters.'),
    temperature: z.number().gt(0).nullish().describe('Default 1; any other value samples.'),
    top_k: z.int().gt(0).nullish().describe('Samples.'),
    top_p: z.number().gt(0).max(1).nullish().describe('Samples.'),
    typical_p: z.number().gt(0).max(1).nullish().describe('Samples.'),
    repetition_penalty: z.number().gt(0).nullish(),
    frequency_penalty: z.number().min(-2).max(2).nullish(),
    seed: z.int().min(0).nullish(),
    max_new_tokens: z.int().min(1).nullish().describe('Default: as many as fit.'),
    stop: boundedArray(z.string().min(1), { max: MAX_STOP_STRINGS })
      .nullish()
      .describe('The text ends with the first of these strings.'),
    truncate: z.int().min(1).nullish().describe('Keep only so many tokens at the end of the prompt.'),
    return_full_text: z.boolean().nullish().describe('Begin the text with the prompt.'),
    details: z.boolean().nullish().describe('Tell the tokens, and why the text ended.'),
    top_n_tokens: z.int().min(0).max(MAX_LOGPROBS).nullish().describe('Likeliest tokens to return in each place.'),
    grammar: Grammar.nullish().describe('What the text has to look like.'),
  })
  .superRefine(refuseFields({ best_of: [1], watermark: [false], decoder_input_details: [false], adapter_id: [] }))
  .openapi('TgiParameters');

export type WireParameters = z.infer<typeof Parameters>;

const generateFields = { inputs: z.string().min(1), parameters: Parameters.nullish() };

export const GenerateRequest = z.looseObject(generateFields).openapi('TgiGenerateRequest');
export type GenerateBody = z.infer<typeof GenerateRequest>;

export const CompatRequest = z
  .looseObject({ ...generateFields, stream: z.boolean().nullish() })
  .openapi('TgiCompatGenerateRequest');

const Token = z
  .object({ id: z.int(), text: z.string(), logprob: z.number(), special: z.boolean() })
  .openapi('TgiToken');

const FinishReason = z.enum(['length', 'eos_token', 'stop_sequence']);

export const GenerateAnswer = z
  .object({
    generated_text: z.string(),
    details: z
      .object({
        finish_reason: FinishReason,
        generated_tokens: z.int(),
        seed: z.int().nullable(),
        prefill: z.array(Token).max(0),
        tokens: z.array(Token),
        top_tokens: z.array(z.array(Token)).optional(),
      })
      .optional(),
  })
  .openapi('TgiGenerateAnswer');

export type WireAnswer = z.infer<typeof GenerateAnswer>;
export type WireFinishReason = z.infer<typeof FinishReason>;
