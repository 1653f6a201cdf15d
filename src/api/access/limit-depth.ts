import { createMiddleware } from 'hono/factory';
import { RequestError } from '../../serving/index.js';

/** Deeper than any request that means something; shallow enough for whatever walks through a value by recursion. */
export const MAX_DEPTH = 100;

/** Refuses JSON that is nested deeper than {@link MAX_DEPTH}, before anything parses it. */
export const limitDepth = createMiddleware(async (c, next) => {
  const { method } = c.req;
  if (method !== 'GET' && method !== 'HEAD' && !/^multipart\//i.test(c.req.header('Content-Type') ?? '')) {
    checkDepth(await c.req.text());
  }
  await next();
});

/**
 * Counts brackets outside of strings; of what is no JSON, the parser says so later.
 *
 * @throws RequestError
 */
export function checkDepth(json: string): void {
  let depth = 0;
  for (let i = 0; i < json.length; i += 1) {
    switch (json.charCodeAt(i)) {
      case 0x22: // "
        i = endOfString(json, i);
        break;
      case 0x5b: // [
      case 0x7b: // {
        depth += 1;
        if (depth > MAX_DEPTH) {
          throw new RequestError(`The request body is nested more than ${MAX_DEPTH} levels deep. Send a flatter one.`);
        }
        break;
      case 0x5d: // ]
      case 0x7d: // }
        depth -= 1;
    }
  }
}

/** Where the quote is that ends the string that begins at `start`; the end of the text when there is none. */
function endOfString(json: string, start: number): number {
  let end = start;
  for (;;) {
    end = json.indexOf('"', end + 1);
    if (end < 0) return json.length;
    let backslashes = 0;
    while (json.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes += 1;
    if (backslashes % 2 === 0) return end;
  }
}

/**
 * JSON that a client has sent inside of a string.
 *
 * @throws RequestError when it is nested too deep, SyntaxError when it is no JSON
 */
export function parseJson(json: string): unknown {
  checkDepth(json);
  return JSON.parse(json);
}
