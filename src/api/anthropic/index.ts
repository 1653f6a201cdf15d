import { OpenAPIHono } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import type { Protocol } from '../protocol.js';
import { countTokens } from './count-tokens.js';
import { toAnthropicError } from './errors.js';
import { messages } from './messages.js';

/** Anthropic's Messages API. */
export function anthropic(context: ApiContext): Protocol {
  const routes = new OpenAPIHono();
  routes.route('/', messages(context));
  routes.route('/', countTokens(context));
  return { routes, toError: toAnthropicError };
}
