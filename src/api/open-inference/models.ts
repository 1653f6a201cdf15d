import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import { ClosingError, readinessOf } from '../drain.js';
import { openInferenceErrors } from './schemas.js';

/** A server has one version of each of its models. */
export const MODEL_VERSION = '1';

const ServerMetadata = z
  .object({ name: z.string(), version: z.string(), extensions: z.array(z.string()) })
  .openapi('OpenInferenceServer');

const Tensor = z.object({ name: z.string(), datatype: z.literal('BYTES'), shape: z.array(z.int()) });

const ModelMetadata = z
  .object({
    name: z.string(),
    versions: z.array(z.string()),
    platform: z.string(),
    inputs: z.array(Tensor),
    outputs: z.array(Tensor),
  })
  .openapi('OpenInferenceModel');

const serverRoute = createRoute({
  method: 'get',
  path: '/v2',
  summary: 'Describe the server (Open Inference Protocol)',
  responses: {
    200: { description: 'Its name and extensions.', content: { 'application/json': { schema: ServerMetadata } } },
    401: openInferenceErrors[401],
  },
});

const modelRoute = createRoute({
  method: 'get',
  path: '/v2/models/{model}',
  summary: 'Describe one model (Open Inference Protocol)',
  request: { params: z.object({ model: z.string() }) },
  responses: {
    200: { description: 'The model.', content: { 'application/json': { schema: ModelMetadata } } },
    401: openInferenceErrors[401],
    404: openInferenceErrors[404],
    503: openInferenceErrors[503],
  },
});

/** Metadata of the server and of its models. */
export function metadata({ serving }: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  app.openapi(serverRoute, (c) => c.json({ name: 'quire', version: '1', extensions: ['generate'] }, 200));
  app.openapi(modelRoute, (c) => {
    const { id } = serving.resolveModel(c.req.param('model'));
    const tensor = (name: string) => ({ name, datatype: 'BYTES' as const, shape: [1] });
    return c.json(
      {
        name: id,
        versions: [MODEL_VERSION],
        platform: 'quire',
        inputs: [tensor('text_input')],
        outputs: [tensor('text_output')],
      },
      200,
    );
  });
  return app;
}

const json = <T extends z.ZodType>(description: string, schema: T) => ({
  description,
  content: { 'application/json': { schema } },
});

const liveRoute = createRoute({
  method: 'get',
  path: '/v2/health/live',
  summary: 'Whether the process answers (Open Inference Protocol)',
  responses: { 200: json('It does.', z.object({ live: z.literal(true) })) },
});

const Ready = z.object({ ready: z.boolean() });

const readyRoute = createRoute({
  method: 'get',
  path: '/v2/health/ready',
  summary: 'Whether requests can be answered (Open Inference Protocol)',
  responses: { 200: json('They can.', Ready), 503: json('Not now.', Ready) },
});

const modelReadyRoute = createRoute({
  method: 'get',
  path: '/v2/models/{model}/ready',
  summary: 'Whether a model can answer (Open Inference Protocol)',
  request: { params: z.object({ model: z.string() }) },
  responses: {
    200: json('It can.', z.object({ name: z.string(), ready: z.literal(true) })),
    404: openInferenceErrors[404],
    503: openInferenceErrors[503],
  },
});

/** Liveness and readiness. */
export function readiness(context: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  app.openapi(liveRoute, (c) => c.json({ live: true as const }, 200));
  app.openapi(readyRoute, (c) => {
    const ready = readinessOf(context).state === 'ready';
    return c.json({ ready }, ready ? 200 : 503);
  });
  app.openapi(modelReadyRoute, (c) => {
    const { id } = context.serving.resolveModel(c.req.param('model'));
    if (readinessOf(context).state === 'closing') throw new ClosingError();
    return c.json({ name: id, ready: true as const }, 200);
  });
  return app;
}
