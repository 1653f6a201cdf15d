import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from './context.js';
import { readinessOf } from './drain.js';

const State = z.object({ status: z.enum(['ready', 'loading', 'restarting', 'failed', 'closing', 'closed']) });

/** `GET` on a path that tells by its status alone whether requests can be answered. */
export function probe(path: string, summary: string, context: ApiContext): OpenAPIHono {
  const route = createRoute({
    method: 'get',
    path,
    summary,
    responses: {
      200: { description: 'They can.', content: { 'application/json': { schema: State } } },
      503: { description: 'Not now.', content: { 'application/json': { schema: State } } },
    },
  });
  return new OpenAPIHono().openapi(route, (c) => {
    const { state } = readinessOf(context);
    return c.json({ status: state }, state === 'ready' ? 200 : 503);
  });
}
