import { OpenAPIHono } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import type { Protocol } from '../protocol.js';
import { generate } from './generate.js';
import { metadata, readiness } from './models.js';
import { toOpenInferenceError } from './schemas.js';

/** The Open Inference Protocol v2 of KServe and Triton, with its extension for text generation. */
export function openInference(context: ApiContext): Protocol {
  const routes = new OpenAPIHono();
  routes.route('/', metadata(context));
  routes.route('/', generate(context));
  return { routes, probes: readiness(context), toError: toOpenInferenceError };
}
