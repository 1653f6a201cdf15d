import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import { createDispatch } from '../dispatch.js';
import { boundedArray } from '../openai/bounded-array.js';
import { errorResponses, refuseFields } from '../openai/schemas.js';
import { probe } from '../probe.js';
import type { Protocol } from '../protocol.js';

const MAX_INSTANCES = 256;

const Instance = z
  .looseObject({})
  .superRefine(refuseFields({ stream: [false] }))
  .openapi('VertexInstance', {
    description: 'A chat completion (`messages`), a completion (`prompt`) or a request of TGI (`inputs`).',
  });

const PredictRequest = z
  .looseObject({
    instances: boundedArray(Instance, { min: 1, max: MAX_INSTANCES }),
    parameters: z
      .looseObject({})
      .superRefine(refuseFields({ stream: [false] }))
      .nullish()
      .describe('Fields of every instance that does not have them itself.'),
  })
  .openapi('VertexPredictRequest');

const PredictAnswer = z
  .object({ predictions: z.array(z.unknown()).describe('The answer to each instance, in their order.') })
  .openapi('VertexPredictAnswer');

const predictRoute = (path: string) =>
  createRoute({
    method: 'post',
    path,
    summary: 'Answer several requests (Vertex AI)',
    request: { body: { required: true, content: { 'application/json': { schema: PredictRequest } } } },
    responses: {
      200: { description: 'The answers.', content: { 'application/json': { schema: PredictAnswer } } },
      ...errorResponses,
    },
  });

/**
 * What Google's Vertex AI asks of a container, on the paths that it names in `AIP_PREDICT_ROUTE` and `AIP_HEALTH_ROUTE`;
 * nothing where it does not.
 */
export function vertex(context: ApiContext, env: NodeJS.ProcessEnv): Protocol {
  const { AIP_PREDICT_ROUTE: predictPath, AIP_HEALTH_ROUTE: healthPath } = env;
  const routes = new OpenAPIHono();
  if (predictPath) {
    const dispatch = createDispatch(context);
    routes.openapi(predictRoute(predictPath), async (c) => {
      const { instances, parameters } = c.req.valid('json');
      const failed = new AbortController();
      const signal = AbortSignal.any([c.req.raw.signal, failed.signal]);
      const predict = async (instance: object): Promise<unknown> => {
        const response = await dispatch(JSON.stringify({ ...parameters, ...instance }), c, signal);
        return response.json();
      };
      try {
        return c.json({ predictions: (await Promise.all(instances.map(predict))) as never[] }, 200);
      } catch (error) {
        failed.abort();
        throw error;
      }
    });
  }
  return {
    routes,
    probes: healthPath ? probe(healthPath, 'Whether requests can be answered (Vertex AI)', context) : undefined,
    toError: (reply) => reply,
  };
}
