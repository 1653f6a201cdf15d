import type { OpenAPIHono } from '@hono/zod-openapi';
import { createServing, type LoadingServing, type ServingOptionsInput } from '../serving/index.js';
import { createLogger } from '../telemetry/index.js';
import { type AppOptions, createApp } from './app.js';
import { type ListenOptions, listen, type RunningServer } from './server.js';

export type ServerOptions = ServingOptionsInput & AppOptions;

export interface QuireServer {
  /** The Hono app, to mount in another one or to call directly. */
  app: OpenAPIHono;
  serving: LoadingServing;
  /** Serves the app over HTTP, also while the model is still loading. */
  listen(options?: ListenOptions): Promise<RunningServer>;
  /** Ends whatever listens, letting running responses end for up to `graceMs`, and then the engine. */
  close(graceMs?: number): Promise<void>;
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
  const { apiKeys, allowedOrigins, maxBodyBytes, logger = createLogger(), ...servingOptions } = options;
  const serving = createServing(servingOptions, { onLog: (level, message) => logger[level](message) });
  const app = createApp(serving, { apiKeys, allowedOrigins, maxBodyBytes, logger });
  const listening: RunningServer[] = [];
  return {
    app,
    serving,
    async listen(listenOptions) {
      const running = await listen(app, listenOptions);
      listening.push(running);
      return running;
    },
    async close(graceMs) {
      await Promise.all(listening.map((running) => running.close(graceMs)));
      await serving.close();
    },
  };
}
