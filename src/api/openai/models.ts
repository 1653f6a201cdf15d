import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ServedModel } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { errorResponses } from './schemas.js';

const Model = z
  .object({
    id: z.string(),
    object: z.literal('model'),
    created: z.int().describe('Unix seconds.'),
    owned_by: z.literal('quire'),
    max_model_len: z.int().describe('Longest prompt and answer together, in tokens.'),
    batch_invariant: z.boolean().describe('Whether answers are bit-identical alone and in a crowd.'),
    batch_invariant_reason: z.string(),
  })
  .openapi('Model');

const listRoute = createRoute({
  method: 'get',
  path: '/models',
  summary: 'List the models served here',
  responses: {
    200: {
      description: 'The models.',
      content: { 'application/json': { schema: z.object({ object: z.literal('list'), data: z.array(Model) }) } },
    },
    401: errorResponses[401],
  },
});

const retrieveRoute = createRoute({
  method: 'get',
  path: '/models/{model}',
  summary: 'Describe one model',
  request: { params: z.object({ model: z.string() }) },
  responses: {
    200: { description: 'The model.', content: { 'application/json': { schema: Model } } },
    401: errorResponses[401],
    404: errorResponses[404],
    503: errorResponses[503],
  },
});

/** `GET /models` and `GET /models/{id}`. */
export function models({ serving }: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  app.openapi(listRoute, (c) => c.json({ object: 'list' as const, data: serving.models().map(toWireModel) }, 200));
  app.openAPIRegistry.registerPath(retrieveRoute);
  // Not through `openapi`, whose parameters end at a slash: names like `org/model` come unescaped from some clients.
  app.get('/models/:model{.+}', (c) => c.json(toWireModel(serving.resolveModel(c.req.param('model')))));
  return app;
}

function toWireModel(model: ServedModel) {
  return {
    id: model.id,
    object: 'model' as const,
    created: model.created,
    owned_by: 'quire' as const,
    max_model_len: model.maxModelLen,
    batch_invariant: model.info.batchInvariant,
    batch_invariant_reason: model.info.batchInvariantReason,
  };
}
