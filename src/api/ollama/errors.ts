import { z } from '@hono/zod-openapi';
import { describeErrors } from '../error-responses.js';
import type { ErrorReply } from '../openai/errors.js';
import type { ErrorAnswer } from '../protocol.js';

const OllamaError = z.object({ error: z.string() }).openapi('OllamaError');

/** Ollama's shape of an error. */
export function toOllamaError({ status, body }: ErrorReply): ErrorAnswer {
  return { status, body: { error: body.error.message } };
}

export const ollamaErrors = describeErrors([400, 401, 404, 413, 429, 500, 503, 504] as const, OllamaError);
