import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { RequestError } from '../serving/index.js';
import type { ClientVariables } from './access/index.js';
import type { ApiContext } from './context.js';
import { ApiError } from './openai/errors.js';
import { ErrorResponse, errorResponses } from './openai/schemas.js';
import { SSE_CONTENT_TYPE } from './openai/sse.js';
import { STREAM_HEADERS } from './stream.js';
import type { KeptStream } from './stream-store.js';
import { textBody } from './text-body.js';

const error = (description: string) => ({ description, content: { 'application/json': { schema: ErrorResponse } } });

const params = z.object({ id: z.string().describe('What the ids of the stream’s events have before the slash.') });

const resume = createRoute({
  method: 'get',
  path: '/streams/{id}',
  summary: 'Take up a stream again whose connection was lost',
  request: {
    params,
    headers: z.object({
      'last-event-id': z.string().optional().describe('The id of the last event that came; left out: from the start.'),
    }),
  },
  responses: {
    200: {
      description: 'The events after that one, as the stream began.',
      content: { [SSE_CONTENT_TYPE.split(';')[0]!]: { schema: z.string() } },
    },
    204: { description: 'That was the last one.' },
    400: error('There is no such event.'),
    401: errorResponses[401],
    404: error('This client has no such stream.'),
    410: error('The stream, or what comes after that event, is no longer kept.'),
  },
});

const end = createRoute({
  method: 'delete',
  path: '/streams/{id}',
  summary: 'End a stream, and its generation',
  request: { params },
  responses: {
    204: { description: 'It has ended.' },
    401: errorResponses[401],
    404: error('This client has no such stream.'),
    410: error('It has ended before.'),
  },
});

type Env = { Variables: ClientVariables };

/** What takes up streams that lost their clients; there where streams are kept. */
export function streams({ streams: store }: ApiContext): OpenAPIHono<Env> {
  const app = new OpenAPIHono<Env>();

  function find(c: Context<Env>, id: string): KeptStream {
    const found = store?.find(c.get('client') ?? '', id);
    if (found === 'gone') throw gone(`The stream '${id}' is no longer kept. Send the request again.`);
    if (found !== undefined) return found;
    const hint = store === undefined ? ' This server keeps none: --stream-resume-window is 0.' : '';
    throw new ApiError(404, `There is no stream '${id}'.${hint}`, { code: 'stream_not_found' });
  }

  app.openapi(resume, (c) => {
    const { id } = c.req.valid('param');
    const { stream, contentType } = find(c, id);
    const from = positionAfter(c.req.valid('header')['last-event-id'], id, stream.end);
    if (!stream.has(from)) throw gone(`Events of the stream '${id}' from ${from} on are no longer kept.`);
    if (stream.isOver && from === stream.end) return c.body(null, 204);
    const body = textBody(stream.read(from));
    return c.body(body, 200, { ...STREAM_HEADERS, 'Content-Type': contentType }) as never;
  });
  app.openapi(end, (c) => {
    find(c, c.req.valid('param').id).stream.close();
    return c.body(null, 204);
  });
  return app;
}

/** The number of the event after this one. */
function positionAfter(lastEventId: string | undefined, id: string, end: number): number {
  if (lastEventId === undefined || lastEventId === '') return 0;
  const [, stream, number] = /^(.*)\/(\d+)$/.exec(lastEventId) ?? [];
  if (stream !== id || Number(number) >= end) {
    throw new RequestError(`Last-Event-ID: '${lastEventId}' is no event of the stream '${id}'.`, {
      param: 'Last-Event-ID',
      code: 'invalid_last_event_id',
    });
  }
  return Number(number) + 1;
}

function gone(message: string): ApiError {
  return new ApiError(410, message, { code: 'stream_gone' });
}
