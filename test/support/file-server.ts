import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ServedFile {
  body: Buffer | string;
  /** Of each of the next answers only this many bytes are sent; the connection then stays open. */
  stalls?: number[];
  /** Answer `Range` with it, as servers do unless they cannot. */
  ranges?: boolean;
}

/** An HTTP server for files by path, with entity tags and ranges, whose connections can be made to stall and break. */
export interface FileServer {
  url: string;
  files: Map<string, ServedFile>;
  /** Paths that lead to other URLs. */
  redirects: Map<string, string>;
  /** What was asked for so far, e.g. `/model.gguf bytes=100-`. */
  requests: string[];
  /** The `Authorization` of each. */
  authorizations: (string | undefined)[];
  breakConnections(): void;
  close(): Promise<void>;
}

export async function startFileServer(): Promise<FileServer> {
  const files = new Map<string, ServedFile>();
  const redirects = new Map<string, string>();
  const requests: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, 'http://localhost');
    requests.push([pathname, request.headers.range].filter(Boolean).join(' '));
    authorizations.push(request.headers.authorization);
    const location = redirects.get(pathname);
    const file = files.get(pathname);
    if (location !== undefined) response.writeHead(302, { location }).end();
    else if (file) answer(file, request, response);
    else response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    redirects,
    requests,
    authorizations,
    breakConnections: () => server.closeAllConnections(),
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function answer(file: ServedFile, request: IncomingMessage, response: ServerResponse): void {
  const body = Buffer.from(file.body);
  const etag = `"${createHash('sha256').update(body).digest('hex').slice(0, 16)}"`;
  const range = /^bytes=(\d+)-$/.exec(request.headers.range ?? '');
  const wanted = range && file.ranges !== false && [undefined, etag].includes(request.headers['if-range'] as string);
  const start = wanted ? Number(range[1]) : 0;
  if (start >= body.length && wanted) {
    response.writeHead(416, { 'content-range': `bytes */${body.length}` }).end();
    return;
  }
  const rest = body.subarray(start);
  response.writeHead(wanted ? 206 : 200, {
    etag,
    'content-length': rest.length,
    ...(wanted ? { 'content-range': `bytes ${start}-${body.length - 1}/${body.length}` } : {}),
  });
  const stall = file.stalls?.shift();
  response.flushHeaders();
  if (stall === undefined) response.end(rest);
  else response.write(rest.subarray(0, stall));
}
