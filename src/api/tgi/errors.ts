import { z } from '@hono/zod-openapi';
import type { ErrorReply } from '../openai/errors.js';
import type { ErrorAnswer } from '../protocol.js';

const TgiError = z.object({ error: z.string(), error_type: z.string() }).openapi('TgiError');

const TYPES: Record<number, string> = { 401: 'authentication', 500: 'generation', 503: 'overloaded' };

/** TGI's shape of an error; what is wrong with a request is a 422 there. */
export function toTgiError({ status, body }: ErrorReply): ErrorAnswer {
  return {
    status: status === 400 ? 422 : status,
    body: { error: body.error.message, error_type: TYPES[status] ?? 'validation' },
  };
}

function errorResponse(description: string) {
  return { description, content: { 'application/json': { schema: TgiError } } };
}

export const tgiErrors = {
  401: errorResponse('The API key is missing or wrong.'),
  413: errorResponse('The request body is too large.'),
  415: errorResponse('The request body is not JSON.'),
  422: errorResponse('The request is wrong.'),
  500: errorResponse('A fault of the server.'),
  503: errorResponse('The engine is loading or has failed; try again after `Retry-After` seconds.'),
};
