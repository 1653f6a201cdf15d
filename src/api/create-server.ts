import type { OpenAPIHono } from '@hono/zod-openapi';
import { createServing, type LoadingServing, type ServingOptionsInput } from '../serving/index.js';
import { createLogger } from '../telemetry/index.js';
import { type AppOptions, createApp } from './app.js';
import { createDrain } from './drain.js';
import { type ListenOptions, listen, type RunningServer } from './server.js';
import { createShutdown, type ShutdownOptions } from './shutdown.js';

export type ServerOptions = ServingOptionsInput & Omit<AppOptions, 'drain'>;

export interface QuireServer {
  /** The Hono app, to mount in another one or to call directly. */
  app: OpenAPIHono;
  serving: LoadingServing;
  /** Serves the app over HTTP, also while the model is still loading. */
  listen(options?: ListenOptions): Promise<RunningServer>;
  /** What listens now. */
  listening(): readonly RunningServer[];
  /**
   * Shuts everything down: probes say so at once, running answers may end for up to `graceMs` (default 10 s), the rest are
   * ended with an error, and then the engine. A second call with a shorter time is obeyed.
   */
  close(graceMs?: number, options?: ShutdownOptions): Promise<void>;
}

/**
 * A whole server in this process: starts to load the model and returns at once.
 *
 * @throws ServingOptionsError
 * @example
 * ```ts
 * const server = createServer({ model: 'model.gguf', maxNumSeqs: 32 });
 * const { url } = await server.listen({ port: 8000 });
 * await server.serving.whenReady();
 * ```
 */
export function createServer(options: ServerOptions = {}): QuireServer {
  const {
    apiKeys,
    allowedOrigins,
    maxBodyBytes,
    streamResumeWindow,
    logger = createLogger(),
    ...servingOptions
  } = options;
  const serving = createServing(servingOptions, { onLog: (level, message) => logger[level](message) });
  const drain = createDrain();
  const app = createApp(serving, { apiKeys, allowedOrigins, maxBodyBytes, streamResumeWindow, logger, drain });
  const listening: RunningServer[] = [];
  const close = createShutdown({ serving, drain, listening });
  return {
    app,
    serving,
    async listen(listenOptions) {
      const running = await listen(app, listenOptions);
      listening.push(running);
      return running;
    },
    listening: () => listening,
    close,
  };
}
