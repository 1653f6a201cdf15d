import { z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { describeErrors, ERROR_STATUSES } from '../error-responses.js';
import type { ErrorReply } from '../openai/errors.js';
import type { ErrorAnswer } from '../protocol.js';

const AnthropicError = z
  .object({
    type: z.literal('error'),
    error: z.object({ type: z.string(), message: z.string() }),
    request_id: z.string(),
  })
  .openapi('AnthropicError');

const TYPES: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  500: 'api_error',
  503: 'overloaded_error',
  504: 'timeout_error',
};

/** Tells the request's id where Anthropic's clients look for it. */
export function nameRequest(c: Context): string {
  const id: string = c.get('requestId');
  c.header('Request-Id', id);
  return id;
}

/** Anthropic's shape of an error. */
export function toAnthropicError({ status, body }: ErrorReply, c: Context): ErrorAnswer {
  const { message } = body.error;
  const error = { type: TYPES[status] ?? 'invalid_request_error', message };
  return { status, body: { type: 'error', error, request_id: nameRequest(c) } };
}

export const anthropicErrors = describeErrors(ERROR_STATUSES, AnthropicError);
