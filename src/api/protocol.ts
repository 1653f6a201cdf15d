import type { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { ErrorReply } from './openai/errors.js';

/** An error as a protocol answers it. */
export interface ErrorAnswer {
  status: ContentfulStatusCode;
  body: object;
}

export type ErrorFormat = (reply: ErrorReply, c: Context) => ErrorAnswer;

/** A protocol besides OpenAI's: a translation onto the one serving interface. */
export interface Protocol {
  /** Its routes with their whole paths; behind the API key, when there is one. */
  routes: OpenAPIHono;
  /** Routes that need no key: what load balancers probe. */
  probes?: OpenAPIHono;
  toError: ErrorFormat;
}

/** Middleware: whatever goes wrong from here on is told in this format. */
export function answerErrorsAs(toError: ErrorFormat) {
  return createMiddleware<{ Variables: { toError: ErrorFormat } }>(async (c, next) => {
    c.set('toError', toError);
    await next();
  });
}

/** The format that the request's protocol has for errors; undefined: OpenAI's. */
export function errorFormatOf(c: Context): ErrorFormat | undefined {
  return c.get('toError') as ErrorFormat | undefined;
}
