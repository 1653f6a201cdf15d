import { z } from '@hono/zod-openapi';
import type { ErrorReply } from '../openai/errors.js';
import type { ErrorAnswer } from '../protocol.js';

const LlamaServerError = z
  .object({ error: z.object({ code: z.int(), message: z.string(), type: z.string() }) })
  .openapi('LlamaServerError');

const TYPES: Record<number, string> = {
  401: 'authentication_error',
  404: 'not_found_error',
  500: 'server_error',
  503: 'unavailable_error',
};

/** llama-server's shape of an error. */
export function toLlamaServerError({ status, body }: ErrorReply): ErrorAnswer {
  const { message, code } = body.error;
  const isTooLong = code === 'context_length_exceeded';
  const type = isTooLong ? 'exceed_context_size_error' : (TYPES[status] ?? 'invalid_request_error');
  return { status, body: { error: { code: status, message, type } } };
}

function errorResponse(description: string) {
  return { description, content: { 'application/json': { schema: LlamaServerError } } };
}

export const llamaServerErrors = {
  400: errorResponse('The request is wrong.'),
  401: errorResponse('The API key is missing or wrong.'),
  404: errorResponse('No such model.'),
  413: errorResponse('The request body is too large.'),
  415: errorResponse('The request body is not JSON.'),
  500: errorResponse('A fault of the server.'),
  503: errorResponse('The engine is loading or has failed; try again after `Retry-After` seconds.'),
};
