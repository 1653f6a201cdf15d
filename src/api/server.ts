import type { Server, ServerResponse } from 'node:http';
import { type AddressInfo, Server as SocketServer } from 'node:net';
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
  /** Listens on this socket instead, which another process has opened: its file descriptor, or the server it was sent as. */
  socket?: { fd: number } | SocketServer;
  /** Lets several processes listen on one port (SO_REUSEPORT): needs Node.js 22.12 or 23.1. */
  reusePort?: boolean;
}

export interface RunningServer {
  /** 0 of a socket that has none. */
  port: number;
  url: string;
  /** What listens, to be sent to another process. */
  socket: Server;
  /** Other processes have the socket, too. */
  isShared: boolean;
  /** From now on clients are told not to use their connections again. */
  announceClose(): void;
  /**
   * Takes no new connections, and ends those that are there once they have been idle for `idleMs`. Requests that come on
   * them are answered. Resolves when all are gone.
   */
  leave(idleMs: number): Promise<void>;
  /** Resolves when the requests that are being answered now have been. */
  settled(): Promise<void>;
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
  const { host = '127.0.0.1', port = 8000, socket, reusePort } = options;
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
    server.listen(socket ?? { host, port, ...(reusePort && { reusePort }) }, () => {
      server.off('error', reject);
      resolve();
    });
  });

  const answering = new Set<ServerResponse>();
  let announced = false;
  let closing = false;
  let stopped: Promise<void> | undefined;
  // Before the app's own listener: a header can be set until the answer begins.
  server.prependListener('request', (_, response) => {
    if (announced) response.setHeader('Connection', 'close');
    answering.add(response);
    response.once('close', () => {
      answering.delete(response);
      // A kept-alive connection that becomes idle only now would otherwise stay until its timeout.
      if (closing) setImmediate(() => server.closeIdleConnections());
    });
  });

  function stopListening(): Promise<void> {
    // What `close` of an HTTP server does besides is to cut idle connections, on which a request may be on its way.
    stopped ??= new Promise((resolve) => SocketServer.prototype.close.call(server, () => resolve()));
    return stopped;
  }

  // None for a socket that is no TCP port.
  const { port: actualPort = 0, family, address } = (server.address() ?? {}) as Partial<AddressInfo>;
  const name = family === 'IPv6' ? `[${address}]` : (address ?? 'localhost');
  return {
    port: actualPort,
    url: `http://${name}${actualPort === 0 ? '' : `:${actualPort}`}`,
    socket: server,
    isShared: socket !== undefined || reusePort === true,
    announceClose() {
      announced = true;
      for (const response of answering) if (!response.headersSent) response.setHeader('Connection', 'close');
    },
    async leave(idleMs) {
      // From here on Node sees to those that become idle, and the timer to those that are.
      server.keepAliveTimeout = idleMs;
      const timer = setTimeout(() => server.closeIdleConnections(), idleMs);
      await stopListening();
      clearTimeout(timer);
    },
    async settled() {
      await Promise.all([...answering].map((response) => new Promise((resolve) => response.once('close', resolve))));
    },
    async close(graceMs = DEFAULT_GRACE_MS) {
      closing = true;
      const gone = stopListening();
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), graceMs);
      await gone;
      clearTimeout(timer);
    },
  };
}
