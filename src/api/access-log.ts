import { createMiddleware } from 'hono/factory';
import type { RequestIdVariables } from 'hono/request-id';
import type { Logger } from '../telemetry/index.js';

/** One line at level debug for every request, when its response begins. */
export function accessLog(logger: Logger) {
  return createMiddleware<{ Variables: RequestIdVariables }>(async (c, next) => {
    const start = performance.now();
    await next();
    if (!logger.isLevelEnabled('debug')) return;
    const { method, path } = c.req;
    const ms = Math.round(performance.now() - start);
    logger.debug({ requestId: c.get('requestId'), method, path, status: c.res.status, ms }, 'request');
  });
}
