import { createMiddleware } from 'hono/factory';

/** Takes bodies of any type as JSON, as Ollama does: its documentation sends them with a bare `curl -d`. */
export const jsonBodies = createMiddleware(async (c, next) => {
  const { raw } = c.req;
  const isJson = /^application\/json\b/i.test(c.req.header('Content-Type') ?? '');
  if (!isJson && raw.method === 'POST') {
    const headers = new Headers(raw.headers);
    headers.set('Content-Type', 'application/json');
    c.req.raw = new Request(raw.url, { method: raw.method, headers, body: await c.req.text(), signal: raw.signal });
  }
  await next();
});
