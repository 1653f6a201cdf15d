import { OpenAPIHono } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import type { Protocol } from '../protocol.js';
import { toTgiError } from './errors.js';
import { generate } from './generate.js';
import { info } from './info.js';

/** The API of Hugging Face's Text Generation Inference. */
export function tgi(context: ApiContext): Protocol {
  const routes = new OpenAPIHono();
  routes.route('/', generate(context));
  routes.route('/', info(context));
  return { routes, toError: toTgiError };
}
