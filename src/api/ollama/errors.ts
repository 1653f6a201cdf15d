import { z } from '@hono/zod-openapi';
import type { ErrorReply } from '../openai/errors.js';
import type { ErrorAnswer } from '../protocol.js';

const OllamaError = z.object({ error: z.string() }).openapi('OllamaError');

/** Ollama's shape of an error. */
export function toOllamaError({ status, body }: ErrorReply): ErrorAnswer {
  return { status, body: { error: body.error.message } };
}

function errorResponse(description: string) {
  return { description, content: { 'application/json': { schema: OllamaError } } };
}

export const ollamaErrors = {
  400: errorResponse('The request is wrong.'),
  401: errorResponse('The API key is missing or wrong.'),
  404: errorResponse('No such model.'),
  413: errorResponse('The request body is too large.'),
  500: errorResponse('A fault of the server.'),
  503: errorResponse('The engine is loading or has failed; try again after `Retry-After` seconds.'),
};
