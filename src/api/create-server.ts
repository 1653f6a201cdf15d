import type { OpenAPIHono } from '@hono/zod-openapi';
import { createServing, type LoadingServing, type ServingOptionsInput } from '../serving/index.js';
import { createLogger } from '../telemetry/index.js';
import { createKeyRing } from './access/index.js';
import { createAdminApp } from './admin/admin.js';
import { type AppOptions, createApp } from './app.js';
import { createDrain } from './drain.js';
import { type ListenOptions, listen, type RunningServer } from './server.js';
import { createShutdown, type ShutdownOptions } from './shutdown.js';

export type ServerOptions = ServingOptionsInput &
  Omit<AppOptions, 'drain' | 'keyRing'> & {
    /** File of hashed API keys, as `quire keys create` writes it; read again when it changes. */
    apiKeysFile?: string | undefined;
  };

export interface QuireServer {
  /** The Hono app, to mount in another one or to call directly. */
  app: OpenAPIHono;
  serving: LoadingServing;
  /** Serves the app over HTTP, also while the model is still loading. */
  listen(options?: ListenOptions): Promise<RunningServer>;
  /** What listens now for clients. */
  listening(): readonly RunningServer[];
  /** Serves `/admin/…` over HTTP, to this machine alone. */
  listenAdmin(options?: Pick<ListenOptions, 'port'>): Promise<RunningServer>;
  /** Reads API keys and certificates again; what is broken is logged and stays what it was. */
  reload(): void;
  /**
   * Shuts everything down: probes say so at once, running answers may end for up to `graceMs` (default 10 s), the rest are
   * ended with an error, and then the engine. A second call with a shorter time is obeyed.
   */
  close(graceMs?: number, options?: ShutdownOptions): Promise<void>;
}

/**
 * A whole server in this process: starts to load the model and returns at once.
 *
 * @throws ServingOptionsError, KeyFileError
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
    apiKeysFile,
    sharePrefixesBetweenKeys,
    allowedOrigins,
    maxBodyBytes,
    maxConcurrentRequestsPerKey,
    rateLimitRequests,
    rateLimitTokens,
    streamResumeWindow,
    enableLogRequests,
    logger = createLogger(),
    ...servingOptions
  } = options;
  const keyRing = createKeyRing({ keys: apiKeys, file: apiKeysFile, logger });
  const serving = createServing(servingOptions, { onLog: (level, message) => logger[level](message) });
  const drain = createDrain();
  const access = { keyRing, sharePrefixesBetweenKeys, allowedOrigins, maxBodyBytes };
  const limits = { maxConcurrentRequestsPerKey, rateLimitRequests, rateLimitTokens };
  const app = createApp(serving, { ...access, ...limits, streamResumeWindow, enableLogRequests, logger, drain });
  const listening: RunningServer[] = [];
  const adminListening: RunningServer[] = [];
  const connections = (): number => listening.reduce((sum, running) => sum + running.connections(), 0);
  const adminApp = createAdminApp({ serving, keys: keyRing, logger, connections });
  const shutDown = createShutdown({ serving, drain, listening });

  async function closeAdmin(): Promise<void> {
    await Promise.all(adminListening.map((running) => running.close(0)));
  }

  function tryTo(reload: () => void): void {
    try {
      reload();
    } catch (error) {
      logger.error({ err: error }, 'not read again: it stays what it was');
    }
  }

  return {
    app,
    serving,
    async listen(listenOptions) {
      const running = await listen(app, { logger, ...listenOptions });
      listening.push(running);
      return running;
    },
    listening: () => listening,
    async listenAdmin({ port = 0 } = {}) {
      const running = await listen(adminApp, { host: '127.0.0.1', port });
      adminListening.push(running);
      return running;
    },
    reload() {
      tryTo(keyRing.reload);
      for (const running of listening) tryTo(running.reloadCertificate);
    },
    async close(graceMs, closeOptions) {
      // Another process is waiting for the port.
      if (closeOptions?.handedOver) await closeAdmin();
      await shutDown(graceMs, closeOptions);
      keyRing.close();
      await closeAdmin();
    },
  };
}
