import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer, type HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { takeTextBody, writeTextBody } from './text-body.js';

/** What listening needs of a Hono app. */
interface FetchApp {
  fetch(request: Request, env: unknown): Response | Promise<Response>;
}

export interface ListenOptions {
  /** Default 127.0.0.1: an API without a key is for this machine alone. */
  host?: string;
  /** Default 8000; 0 for any free port. */
  port?: number;
}

export interface RunningServer {
  port: number;
  url: string;
  /**
   * Takes no new connections, lets running responses end for up to `graceMs` (default 10 s), then cuts them off. Resolves
   * when no connection is left. A second call with a shorter time is obeyed.
   */
  close(graceMs?: number): Promise<void>;
}

const DEFAULT_GRACE_MS = 10_000;

/**
 * Serves an app over HTTP/1.1.
 *
 * @throws what Node says when it cannot listen, e.g. with code EADDRINUSE.
 */
export async function listen(app: FetchApp, options: ListenOptions = {}): Promise<RunningServer> {
  const { host = '127.0.0.1', port = 8000 } = options;
  const server = createAdaptorServer({
    async fetch(request, env) {
      const response = await app.fetch(request, env);
      const { outgoing } = env as HttpBindings;
      const text = outgoing.socket && takeTextBody(response.body);
      if (!text) return response;
      await writeTextBody(text, response, outgoing, outgoing.socket);
      return RESPONSE_ALREADY_SENT;
    },
    // Faster by 0.06 ms a request, but the process may be somebody else's, whose globals are not ours to replace.
    overrideGlobalObjects: false,
  }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });

  let closed: Promise<void> | undefined;
  server.on('request', (_, response) => {
    response.once('close', () => {
      // A kept-alive connection that becomes idle only now would otherwise stay until its timeout.
      if (closed) setImmediate(() => server.closeIdleConnections());
    });
  });

  const address = server.address() as AddressInfo;
  return {
    port: address.port,
    url: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    async close(graceMs = DEFAULT_GRACE_MS) {
      closed ??= new Promise((resolve) => server.close(() => resolve()));
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await closed;
      clearTimeout(timer);
    },
  };
}
