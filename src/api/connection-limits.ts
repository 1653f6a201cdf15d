import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';

/** What a connection may take. Times in milliseconds, sizes in bytes. */
export interface ConnectionLimits {
  /** From the first byte of a request, or the connection's begin, to the end of its headers. */
  headersTimeout: number;
  /** The same to the end of its body; the answer may take as long as it wants. */
  requestTimeout: number;
  /** How long a connection is kept that has no request. */
  keepAliveTimeout: number;
  /** How often the first two are looked at: a request may take so much longer. */
  connectionsCheckingInterval: number;
  /** All headers of a request together; the URL is one of them. */
  maxHeaderSize: number;
  /** What a request has beyond so many headers is not read. */
  maxHeadersCount: number;
}

const DEFAULT_LIMITS: ConnectionLimits = {
  headersTimeout: 20_000,
  // 32 MiB, the largest body by default, at 2.3 Mbit/s.
  requestTimeout: 120_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: 16_384,
  maxHeadersCount: 200,
};

/** Silence after which a connection's other end is asked, by TCP itself, whether it is still there, in milliseconds. */
const PROBE_AFTER_MS = 60_000;

/** Options for Node's `createServer`. */
export function serverOptionsOf(limits: Partial<ConnectionLimits> = {}) {
  const { maxHeadersCount: _, ...options } = { ...DEFAULT_LIMITS, ...limits };
  // Who vanished without a word, a closed laptop for one, would otherwise hold a connection and its request for hours.
  return {
    ...options,
    handshakeTimeout: options.headersTimeout,
    keepAlive: true,
    keepAliveInitialDelay: PROBE_AFTER_MS,
  };
}

/** What Node's `createServer` has no option for, and answers for what does not get as far as an app. */
export function limitConnections(server: Server, limits: Partial<ConnectionLimits> = {}): void {
  server.maxHeadersCount = limits.maxHeadersCount ?? DEFAULT_LIMITS.maxHeadersCount;
  const answering = new WeakMap<Duplex, Set<ServerResponse>>();
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const responses = answering.get(socket) ?? new Set();
    answering.set(socket, responses.add(response));
    response.once('close', () => responses.delete(response));
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
    // In the middle of an answer another one would pass for a part of it.
    const isAnswering = [...(answering.get(socket) ?? [])].some(({ headersSent }) => headersSent);
    // Of other faults, those of TLS for one, nobody could read an answer.
    const { code = '' } = error;
    const isReadable = code.startsWith('HPE_') || code in FAULTS;
    if (!isReadable || !socket.writable || isAnswering) socket.destroy();
    else socket.end(answerTo(code), () => socket.destroy());
  });
}

const FAULTS: Record<string, [status: string, message: string, code: string | null]> = {
  ERR_HTTP_REQUEST_TIMEOUT: [
    '408 Request Timeout',
    'The request did not arrive in time. Send it again, faster.',
    'request_timeout',
  ],
  HPE_HEADER_OVERFLOW: [
    '431 Request Header Fields Too Large',
    'The headers of the request are too large. Send fewer or shorter ones.',
    'headers_too_large',
  ],
};

/** A whole HTTP response with an error as OpenAI has it. */
function answerTo(fault: string): string {
  const notHttp = ['400 Bad Request', 'The request is not valid HTTP/1.1.', null] as const;
  const [status, message, code] = FAULTS[fault] ?? notHttp;
  const body = JSON.stringify({ error: { message, type: 'invalid_request_error', param: null, code } });
  const headers = ['Content-Type: application/json', `Content-Length: ${Buffer.byteLength(body)}`, 'Connection: close'];
  return [`HTTP/1.1 ${status}`, ...headers, '', body].join('\r\n');
}
