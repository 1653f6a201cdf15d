import { Hono } from 'hono';
import { createMiddleware } from 'hono/factory';
import type { Serving } from '../../serving/index.js';
import type { Logger } from '../../telemetry/index.js';
import { KeyFileError, type KeyRing, requestId, requireKey } from '../access/index.js';
import { accessLog } from '../access-log.js';
import { ApiError, toErrorReply } from '../openai/errors.js';

export interface AdminParts {
  serving: Serving;
  keys: KeyRing;
  logger: Logger;
  /** How many connections of clients are open. */
  connections(): number;
}

/**
 * What operators ask of a running server, as an app to listen with on a port of its own: a client that reaches the API does not
 * reach this. As soon as clients need keys, so do operators: one with scope `admin`.
 */
export function createAdminApp({ serving, keys, logger, connections }: AdminParts): Hono {
  const started = performance.now();
  const app = new Hono();
  app.use(requestId);
  app.use(accessLog(logger));
  app.use(refuseWebPages);
  if (keys.required) app.use(requireKey(keys, 'admin'));

  app.get('/admin/status', (c) => {
    const stats = serving.stats();
    return c.json({
      state: serving.state(),
      models: serving.models().map(({ id, created, maxModelLen, info }) => {
        return {
          id,
          created,
          max_model_len: maxModelLen,
          description: info.modelDescription,
          kv_backend: info.kvBackend,
        };
      }),
      uptime_seconds: Math.floor((performance.now() - started) / 1000),
      engine_restarts: stats?.engineRestarts ?? 0,
      requests: { running: stats?.runningSequences ?? 0, waiting: stats?.waitingRequests ?? 0 },
      connections: connections(),
    });
  });

  const listKeys = () => ({ keys: keys.list().map(({ name, scopes, source }) => ({ name, scopes, source })) });
  app.get('/admin/keys', (c) => c.json(listKeys()));
  app.post('/admin/keys/reload', (c) => {
    try {
      keys.reload();
    } catch (error) {
      if (!(error instanceof KeyFileError)) throw error;
      const message = `${error.message} The keys stay what they were.`;
      throw new ApiError(409, message, { code: 'invalid_key_file' });
    }
    return c.json(listKeys());
  });

  app.notFound((c) => {
    const { body, status } = toErrorReply(
      new ApiError(404, `Unknown request URL: ${c.req.method} ${c.req.path}.`, { code: 'unknown_url' }),
    );
    return c.json(body, status);
  });
  app.onError((error, c) => {
    const { status, body, headers } = toErrorReply(error);
    if (status >= 500) logger.error({ err: error, path: c.req.path }, 'an admin request failed');
    return c.json(body, status, headers);
  });
  return app;
}

const LOCAL = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/i;

/**
 * A web page in the operator's browser can send requests to this machine's ports, and read the answers once its own name resolves
 * to 127.0.0.1. Then its name is in `Host`; and its origin goes with whatever is not a plain read.
 */
const refuseWebPages = createMiddleware(async (c, next) => {
  if (c.req.header('Origin') !== undefined || !LOCAL.test(c.req.header('Host') ?? new URL(c.req.url).host)) {
    const message = 'The admin port answers programs on this machine only: no web pages, and no names but localhost.';
    throw new ApiError(403, message, { code: 'not_local' });
  }
  await next();
});
