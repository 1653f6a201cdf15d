import type { z } from '@hono/zod-openapi';

const DESCRIPTIONS = {
  400: 'The request is wrong.',
  401: 'The API key is missing or wrong.',
  404: 'No such model.',
  413: 'The request body is too large.',
  415: 'The request body is not JSON.',
  422: 'The request is wrong.',
  429: 'The client has reached one of its limits, or there is no room for work of low priority; see `Retry-After`.',
  500: 'A fault of the server.',
  503: 'The engine is loading, overloaded or has failed; try again after `Retry-After` seconds.',
  504: 'The answer was not complete in time.',
};

type Status = keyof typeof DESCRIPTIONS;

/** What nearly all routes may answer besides a success. */
export const ERROR_STATUSES = [400, 401, 404, 413, 415, 429, 500, 503, 504] as const satisfies Status[];

/** Answers that are no success, for the OpenAPI document: with the body that a protocol gives them. */
export function describeErrors<S extends Status, Body extends z.ZodType>(statuses: readonly S[], schema: Body) {
  const content = { 'application/json': { schema } };
  const responses = statuses.map((status) => [status, { description: DESCRIPTIONS[status], content }]);
  return Object.fromEntries(responses) as Record<S, { description: string; content: typeof content }>;
}
