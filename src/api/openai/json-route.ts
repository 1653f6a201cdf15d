import { createRoute, type z } from '@hono/zod-openapi';
import { errorResponses } from './schemas.js';

/** A route that takes JSON and answers with JSON, with OpenAI's shape of errors. */
export function jsonRoute<Path extends string, Request extends z.ZodType, Response extends z.ZodType>(
  path: Path,
  summary: string,
  request: Request,
  response: Response,
) {
  return createRoute({
    method: 'post',
    path,
    summary,
    request: { body: { required: true, content: { 'application/json': { schema: request } } } },
    responses: {
      200: { description: 'The result.', content: { 'application/json': { schema: response } } },
      ...errorResponses,
    },
  });
}
