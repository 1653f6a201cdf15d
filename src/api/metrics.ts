import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from './context.js';

const route = createRoute({
  method: 'get',
  path: '/metrics',
  summary: "Metrics in Prometheus' text format",
  responses: { 200: { description: 'The metrics.', content: { 'text/plain': { schema: z.string() } } } },
});

/** `GET /metrics` for Prometheus. */
export function metrics(context: ApiContext): OpenAPIHono {
  return new OpenAPIHono().openapi(route, async (c) =>
    c.text(await context.metrics.render(), 200, { 'Content-Type': context.metrics.contentType }),
  );
}
