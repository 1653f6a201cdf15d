import { z } from '@hono/zod-openapi';
import { describeErrors, ERROR_STATUSES } from '../error-responses.js';
import type { ErrorReply } from '../openai/errors.js';
import { commonFields } from '../openai/schemas.js';
import type { ErrorAnswer } from '../protocol.js';

const { model: _model, n: _n, stream: _stream, stream_options: _options, user: _user, ...sampling } = commonFields;

export const GenerateRequest = z
  .looseObject({
    id: z.string().nullish().describe('Returned in the answer.'),
    text_input: z.string().min(1),
    parameters: z
      .looseObject({
        ...sampling,
        details: z.boolean().nullish().describe('Tell the tokens, and why the text ended.'),
      })
      .nullish()
      .describe('Under the names that completions have for them; `max_tokens` is 20 unless given.'),
  })
  .openapi('OpenInferenceGenerateRequest');

export type GenerateBody = z.infer<typeof GenerateRequest>;

const Token = z.object({ id: z.int(), text: z.string(), logprob: z.number(), special: z.boolean() });
const FinishReason = z.enum(['length', 'eos_token', 'stop_sequence']);

export const GenerateAnswer = z
  .object({
    id: z.string().optional(),
    model_name: z.string(),
    model_version: z.string(),
    text_output: z.string(),
    details: z.object({ finish_reason: FinishReason, logprobs: z.array(Token) }).optional(),
  })
  .openapi('OpenInferenceGenerateAnswer');

const OpenInferenceError = z.object({ error: z.string() }).openapi('OpenInferenceError');

/** The protocol's shape of an error. */
export function toOpenInferenceError({ status, body }: ErrorReply): ErrorAnswer {
  return { status, body: { error: body.error.message } };
}

export const openInferenceErrors = describeErrors(ERROR_STATUSES, OpenInferenceError);
