import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import { SSE_CONTENT_TYPE, sseEvent } from '../openai/sse.js';
import { collect, submit } from '../openai/submission.js';
import { type StreamFormat, streamAnswer } from '../stream.js';
import { timed } from '../timing.js';
import { type CompletionJob, completionEvents, wholeCompletion } from './answer.js';
import { llamaServerErrors, toLlamaServerError } from './errors.js';
import { choicesOf, toGenerationRequest, toPrompts } from './request.js';
import { CompletionAnswer, CompletionRequest } from './schemas.js';

const completionRoute = (path: string) =>
  createRoute({
    method: 'post',
    path,
    summary: 'Continue one or several prompts (llama-server)',
    request: { body: { required: true, content: { 'application/json': { schema: CompletionRequest } } } },
    responses: {
      200: {
        description: 'The answer, a list where several were asked for; with `stream`, events, `stop` true in the last.',
        content: { 'application/json': { schema: CompletionAnswer }, 'text/event-stream': { schema: z.string() } },
      },
      ...llamaServerErrors,
    },
  });

const format: StreamFormat = {
  contentType: SSE_CONTENT_TYPE,
  error: (reply) => sseEvent(JSON.stringify(toLlamaServerError(reply).body)),
};

/** `POST /completion`, also known as `/completions`, field for field as llama-server's clients have it. */
export function completion(context: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  for (const path of ['/completion', '/completions']) {
    app.openapi(completionRoute(path), async (c) => {
      const start = performance.now();
      const body = c.req.valid('json');
      const { serving } = context;
      const prompts = toPrompts(body.prompt);
      const choices = prompts.length * choicesOf(body);
      const withTokens = body.return_tokens === true || choices > 1;
      const id = `llama-${randomUUID()}`;
      const requests = prompts.map((prompt, i) => toGenerationRequest(`${id}-${i}`, prompt, body, withTokens));
      // Usage is of the whole request: how long each of several prompts is has to be counted apart.
      const lengths = prompts.map((prompt) =>
        prompts.length === 1 ? undefined : serving.tokenize(body.model ?? undefined, prompt).tokenIds.length,
      );
      const { submission, timing } = timed(await submit(context, requests, choicesOf(body), c.req.raw.signal), start);
      const job: CompletionJob = {
        body,
        submission,
        timing,
        prompts: requests.map(({ prompt, sampling }, i) => ({
          prompt,
          sampling,
          tokens: lengths[i] ?? submission.usage().promptTokens,
        })),
      };
      if (body.stream) return streamAnswer(c, submission, completionEvents(job), format, context.logger);
      const answers = (await collect(submission)).map((choice) => wholeCompletion(job, choice));
      return c.json(choices === 1 ? answers[0]! : answers, 200);
    });
  }
  return app;
}
