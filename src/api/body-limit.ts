import { bodyLimit } from 'hono/body-limit';
import { createMiddleware } from 'hono/factory';
import { ApiError } from './openai/errors.js';

/** No route reads these, and no `Request` can be made of them. */
const UNREAD = new Set(['TRACE', 'TRACK', 'CONNECT']);

/**
 * Refuses bodies of more than `maxBytes`. A declared length is believed, since Node's parser holds the client to it;
 * bodies without one (chunked) are counted while they are read. Hono's middleware counts; asking it only then spares all
 * other requests the web stream that it makes of every body.
 */
export function limitBody(maxBytes: number) {
  const refuse = (): never => {
    throw new ApiError(413, `The request body is larger than ${maxBytes} bytes, the most that this server takes.`, {
      code: 'request_too_large',
    });
  };
  const counted = bodyLimit({ maxSize: maxBytes, onError: refuse });
  return createMiddleware(async (c, next) => {
    // Where the guards of two routes match, the body has been counted and read by now.
    if (c.req.bodyCache.text !== undefined || UNREAD.has(c.req.method)) return await next();
    const length = c.req.header('Content-Length');
    if (length === undefined || c.req.header('Transfer-Encoding') !== undefined) {
      c.req.raw = plainRequest(c.req.raw);
      return counted(c, next);
    }
    if (Number(length) > maxBytes) refuse();
    await next();
  });
}

/** Hono's middleware makes a new request of the old one, which Node refuses to do with the Node adapter's own class. */
function plainRequest({ url, method, headers, body, signal }: Request): Request {
  return new Request(url, { method, headers, body, signal, ...(body !== null && { duplex: 'half' }) });
}
