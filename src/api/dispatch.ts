import { OpenAPIHono } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import { RequestError } from '../serving/index.js';
import type { ClientVariables } from './access/index.js';
import type { ApiContext } from './context.js';
import { TIMEOUT_HEADER } from './limits/index.js';
import { chatCompletions } from './openai/chat-completions.js';
import { completions } from './openai/completions.js';
import { refuseInvalid } from './openai/validation.js';
import { tgi } from './tgi/index.js';

/**
 * Answers a body as the protocol would that it is written in: one with `messages` is a chat completion, one with `prompt` a
 * completion, one with `inputs` a request of TGI. Errors are thrown. It is for whom the request in `c` is from.
 */
export type Dispatch = (body: string, c: Context, signal?: AbortSignal) => Promise<Response>;

const PATHS: Record<string, string> = { messages: '/v1/chat/completions', prompt: '/v1/completions', inputs: '/' };

/** For routes that take whatever the platform they run on is given. */
export function createDispatch(context: ApiContext): Dispatch {
  const app = new OpenAPIHono({ defaultHook: refuseInvalid });
  app.use(nameClient);
  app.route('/v1', chatCompletions(context));
  app.route('/v1', completions(context));
  app.route('/', tgi(context).routes);
  app.onError((error) => {
    throw error;
  });
  return async (body, c, signal = c.req.raw.signal) => {
    const timeout = c.req.header(TIMEOUT_HEADER);
    const headers = { 'Content-Type': 'application/json', ...(timeout !== undefined && { [TIMEOUT_HEADER]: timeout }) };
    return app.request(pathFor(body), { method: 'POST', headers, body, signal }, { client: c.get('client') });
  };
}

/** A request within a request is for the same client. */
const nameClient = createMiddleware<{ Bindings: ClientVariables; Variables: ClientVariables }>(async (c, next) => {
  c.set('client', c.env.client);
  await next();
});

function pathFor(body: string): string {
  const value = parse(body);
  if (typeof value !== 'object' || value === null) return PATHS.messages!;
  const field = Object.keys(PATHS).find((name) => Object.hasOwn(value, name));
  if (field === undefined) {
    throw new RequestError('The request has to have `messages` (a chat), `prompt` (a completion) or `inputs` (TGI).');
  }
  return PATHS[field]!;
}

/** Undefined for what is no JSON: the route that gets it says so. */
function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
