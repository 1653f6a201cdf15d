import { OpenAPIHono } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import type { Protocol } from '../protocol.js';
import { completion } from './completion.js';
import { toLlamaServerError } from './errors.js';
import { props } from './props.js';

/** What llama-server has besides OpenAI's API. */
export function llamaServer(context: ApiContext): Protocol {
  const routes = new OpenAPIHono();
  routes.route('/', completion(context));
  routes.route('/', props(context));
  return { routes, toError: toLlamaServerError };
}
