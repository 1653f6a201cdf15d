import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from './context.js';
import { readinessOf, type Readiness as State } from './drain.js';

const Live = z.object({ status: z.literal('ok') });

const Readiness = z
  .object({
    status: z.enum(['ready', 'loading', 'restarting', 'failed', 'closing', 'closed']),
    phase: z.string().optional().describe('What is being done while loading.'),
    progress: z.number().optional().describe('How far this phase is, from 0 to 1.'),
    message: z.string().optional().describe('Why it has failed, is being restarted, or is closing.'),
    hint: z.string().optional().describe('What can be done about it.'),
    retry_in: z.number().optional().describe('Seconds until another start is tried, where it has failed.'),
  })
  .openapi('Readiness');

const liveRoute = createRoute({
  method: 'get',
  path: '/health/live',
  summary: 'Whether the process answers',
  responses: { 200: { description: 'It does.', content: { 'application/json': { schema: Live } } } },
});

const readyRoute = (path: string) =>
  createRoute({
    method: 'get',
    path,
    summary: 'Whether requests can be answered',
    responses: {
      200: { description: 'They can.', content: { 'application/json': { schema: Readiness } } },
      503: { description: 'Not now, and why.', content: { 'application/json': { schema: Readiness } } },
    },
  });

/** Liveness and readiness; `/health` is what vLLM's and llama-server's probes ask for. */
export function health(context: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  app.openapi(liveRoute, (c) => c.json({ status: 'ok' as const }, 200));
  for (const path of ['/health/ready', '/health']) {
    app.openapi(readyRoute(path), (c) => {
      const state = readinessOf(context);
      return c.json(toReadiness(state), state.state === 'ready' ? 200 : 503);
    });
  }
  return app;
}

function toReadiness(state: State): z.infer<typeof Readiness> {
  switch (state.state) {
    case 'loading':
      return { status: 'loading', phase: state.phase, progress: state.fraction };
    case 'failed':
      return {
        status: 'failed',
        message: state.message,
        hint: state.hint,
        ...(state.retryAt !== undefined && { retry_in: Math.max(0, Math.ceil((state.retryAt - Date.now()) / 1000)) }),
      };
    case 'restarting':
      return { status: 'restarting', message: state.message, hint: state.hint };
    case 'closing':
      return { status: 'closing', message: 'The server is shutting down.' };
    case 'ready':
    case 'closed':
      return { status: state.state };
  }
}
