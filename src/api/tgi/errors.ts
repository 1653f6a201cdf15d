import { z } from '@hono/zod-openapi';
import { describeErrors } from '../error-responses.js';
import type { ErrorReply } from '../openai/errors.js';
import type { ErrorAnswer } from '../protocol.js';

const TgiError = z.object({ error: z.string(), error_type: z.string() }).openapi('TgiError');

const TYPES: Record<number, string> = {
  401: 'authentication',
  403: 'authentication',
  429: 'overloaded',
  500: 'generation',
  503: 'overloaded',
  504: 'generation',
};

/** TGI's shape of an error; what is wrong with a request is a 422 there. */
export function toTgiError({ status, body }: ErrorReply): ErrorAnswer {
  return {
    status: status === 400 ? 422 : status,
    body: { error: body.error.message, error_type: TYPES[status] ?? 'validation' },
  };
}

export const tgiErrors = describeErrors([401, 413, 415, 422, 429, 500, 503, 504] as const, TgiError);
