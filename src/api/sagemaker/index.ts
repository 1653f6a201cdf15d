import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import { createDispatch } from '../dispatch.js';
import { ChatCompletion, ChatCompletionRequest } from '../openai/chat-schemas.js';
import { Completion, CompletionRequest } from '../openai/completion-schemas.js';
import { errorResponses } from '../openai/schemas.js';
import { probe } from '../probe.js';
import type { Protocol } from '../protocol.js';
import { CompatRequest, GenerateAnswer } from '../tgi/schemas.js';

const invocationsRoute = createRoute({
  method: 'post',
  path: '/invocations',
  summary: 'Answer a chat completion, a completion or a request of TGI (SageMaker)',
  request: {
    body: {
      required: true,
      content: { 'application/json': { schema: z.union([ChatCompletionRequest, CompletionRequest, CompatRequest]) } },
    },
  },
  responses: {
    200: {
      description: 'As the route answers that the body is for: the one with `messages`, `prompt` or `inputs`.',
      content: {
        'application/json': { schema: z.union([ChatCompletion, Completion, z.array(GenerateAnswer)]) },
        'text/event-stream': { schema: z.string() },
      },
    },
    ...errorResponses,
  },
});

/** What Amazon SageMaker asks of a container: `GET /ping` and `POST /invocations`. */
export function sagemaker(context: ApiContext): Protocol {
  const dispatch = createDispatch(context);
  const routes = new OpenAPIHono();
  routes.openAPIRegistry.registerPath(invocationsRoute);
  // Not through `openapi`: the body is checked by the route that it is for.
  routes.post('/invocations', async (c) => dispatch(await c.req.text(), c));
  return {
    routes,
    probes: probe('/ping', 'Whether requests can be answered (SageMaker)', context),
    toError: (reply) => reply,
  };
}
