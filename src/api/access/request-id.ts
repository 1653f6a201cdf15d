import { randomUUID } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import type { RequestIdVariables } from 'hono/request-id';

/** What cannot end a header or a line of a log, nor be longer than one. */
const ACCEPTED = /^[A-Za-z0-9._:-]{1,128}$/;

/**
 * Takes over the client's `X-Request-Id`, or makes one where it is missing or odd, and answers with it. Hono's own takes no dots
 * and colons, which are in the ids of many proxies.
 */
export const requestId = createMiddleware<{ Variables: RequestIdVariables }>(async (c, next) => {
  const given = c.req.header('X-Request-Id') ?? '';
  const id = ACCEPTED.test(given) ? given : randomUUID();
  c.set('requestId', id);
  c.header('X-Request-Id', id);
  await next();
});
