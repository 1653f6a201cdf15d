import { OpenAPIHono } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import type { Protocol } from '../protocol.js';
import { chat } from './chat.js';
import { embed } from './embed.js';
import { toOllamaError } from './errors.js';
import { generate } from './generate.js';
import { jsonBodies } from './json-bodies.js';
import { ollamaModels } from './models.js';

/** Ollama's API, but for what manages models. */
export function ollama(context: ApiContext): Protocol {
  const routes = new OpenAPIHono();
  routes.use('/api/*', jsonBodies);
  routes.route('/', chat(context));
  routes.route('/', generate(context));
  routes.route('/', embed(context));
  routes.route('/', ollamaModels(context));
  return { routes, toError: toOllamaError };
}
