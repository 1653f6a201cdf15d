import { z } from '@hono/zod-openapi';
import { describeErrors, ERROR_STATUSES } from '../error-responses.js';
import type { ErrorReply } from '../openai/errors.js';
import type { ErrorAnswer } from '../protocol.js';

const LlamaServerError = z
  .object({ error: z.object({ code: z.int(), message: z.string(), type: z.string() }) })
  .openapi('LlamaServerError');

const TYPES: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'unavailable_error',
  500: 'server_error',
  503: 'unavailable_error',
  504: 'server_error',
};

/** llama-server's shape of an error. */
export function toLlamaServerError({ status, body }: ErrorReply): ErrorAnswer {
  const { message, code } = body.error;
  const isTooLong = code === 'context_length_exceeded';
  const type = isTooLong ? 'exceed_context_size_error' : (TYPES[status] ?? 'invalid_request_error');
  return { status, body: { error: { code: status, message, type } } };
}

export const llamaServerErrors = describeErrors(ERROR_STATUSES, LlamaServerError);
