import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ApiContext } from '../context.js';
import { SSE_CONTENT_TYPE, sseEvent } from '../openai/sse.js';
import { type Choice, collect, submit } from '../openai/submission.js';
import { type StreamFormat, streamAnswer } from '../stream.js';
import { tokenEvents, wholeAnswer } from './answer.js';
import { tgiErrors, toTgiError } from './errors.js';
import { toJob } from './request.js';
import { CompatRequest, GenerateAnswer, type GenerateBody, GenerateRequest, type WireAnswer } from './schemas.js';

const events = { 'text/event-stream': { schema: z.string() } };

const generateRoute = createRoute({
  method: 'post',
  path: '/generate',
  summary: 'Continue a prompt (TGI)',
  request: { body: { required: true, content: { 'application/json': { schema: GenerateRequest } } } },
  responses: {
    200: { description: 'The answer.', content: { 'application/json': { schema: GenerateAnswer } } },
    ...tgiErrors,
  },
});

const streamRoute = createRoute({
  method: 'post',
  path: '/generate_stream',
  summary: 'Continue a prompt, token by token (TGI)',
  request: { body: { required: true, content: { 'application/json': { schema: GenerateRequest } } } },
  responses: {
    200: { description: 'An event for each token, the last one with `generated_text`.', content: events },
    ...tgiErrors,
  },
});

const compatRoute = createRoute({
  method: 'post',
  path: '/',
  summary: 'Continue a prompt, token by token if `stream` is true (TGI)',
  request: { body: { required: true, content: { 'application/json': { schema: CompatRequest } } } },
  responses: {
    200: {
      description: 'The answer of `/generate` in a list, or that of `/generate_stream`.',
      content: { 'application/json': { schema: z.array(GenerateAnswer) }, ...events },
    },
    ...tgiErrors,
  },
});

const format: StreamFormat = {
  contentType: SSE_CONTENT_TYPE,
  error: (reply) => sseEvent(JSON.stringify(toTgiError(reply).body)),
};

/** `POST /generate`, `/generate_stream`, and `/` for both, field for field as TGI's clients have it. */
export function generate(context: ApiContext): OpenAPIHono {
  async function whole(c: Context, body: GenerateBody): Promise<WireAnswer> {
    const job = toJob(`tgi-${randomUUID()}`, body, false, context.serving);
    const submission = await submit(context, [job.request], 1, c);
    const [choice] = await collect(submission);
    return wholeAnswer(job, choice as Choice, submission.usage());
  }

  async function streamed(c: Context, body: GenerateBody): Promise<Response> {
    const job = toJob(`tgi-${randomUUID()}`, body, true, context.serving);
    const submission = await submit(context, [job.request], 1, c);
    return streamAnswer(c, submission, tokenEvents(job, submission.usage), format, context.logger);
  }

  const app = new OpenAPIHono();
  app.openapi(generateRoute, async (c) => c.json(await whole(c, c.req.valid('json')), 200));
  app.openapi(streamRoute, (c) => streamed(c, c.req.valid('json')));
  app.openapi(compatRoute, async (c) => {
    const body = c.req.valid('json');
    return body.stream ? streamed(c, body) : c.json([await whole(c, body)], 200);
  });
  return app;
}
