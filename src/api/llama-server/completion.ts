import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ApiContext } from '../context.js';
import { SSE_CONTENT_TYPE, sseEvent } from '../openai/sse.js';
import { collect, submit } from '../openai/submission.js';
import { type StreamFormat, streamAnswer } from '../stream.js';
import { timed } from '../timing.js';
import { type CompletionJob, completionEvents, wholeCompletion } from './answer.js';
import { llamaServerErrors, toLlamaServerError } from './errors.js';
import { choicesOf, type EncodeText, type SentPrompt, toGenerationRequest, toPrompts } from './request.js';
import { CompletionAnswer, type CompletionBody, CompletionRequest, InfillRequest } from './schemas.js';

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

const infillRoute = createRoute({
  method: 'post',
  path: '/infill',
  summary: 'Fill the gap between two texts, with models that can (llama-server)',
  request: { body: { required: true, content: { 'application/json': { schema: InfillRequest } } } },
  responses: {
    200: {
      description: 'As `/completion` answers.',
      content: { 'application/json': { schema: CompletionAnswer }, 'text/event-stream': { schema: z.string() } },
    },
    ...llamaServerErrors,
  },
});

const format: StreamFormat = {
  contentType: SSE_CONTENT_TYPE,
  error: (reply) => sseEvent(JSON.stringify(toLlamaServerError(reply).body)),
};

/** `POST /completion`, also known as `/completions`, and `/infill`, field for field as llama-server's clients have them. */
export function completion(context: ApiContext): OpenAPIHono {
  const { serving } = context;

  async function answer(c: Context, body: CompletionBody, prompts: readonly SentPrompt[]) {
    const start = performance.now();
    const choices = prompts.length * choicesOf(body);
    const withTokens = body.return_tokens === true || choices > 1;
    const id = `llama-${randomUUID()}`;
    const requests = prompts.map(({ prompt }, i) => toGenerationRequest(`${id}-${i}`, prompt, body, withTokens));
    // Usage is of the whole request: how long each of several prompts is has to be counted apart.
    const lengths = prompts.map(({ prompt }) =>
      prompts.length === 1 ? undefined : serving.tokenize(body.model ?? undefined, prompt).tokenIds.length,
    );
    const { submission, timing } = timed(await submit(context, requests, choicesOf(body), c), start);
    const job: CompletionJob = {
      body,
      submission,
      timing,
      prompts: requests.map(({ sampling }, i) => ({
        sent: prompts[i]!.sent,
        sampling,
        tokens: lengths[i] ?? submission.usage().promptTokens,
      })),
    };
    if (body.stream) return streamAnswer(c, submission, completionEvents(job), format, context.logger);
    const answers = (await collect(submission)).map((choice) => wholeCompletion(job, choice));
    return c.json(choices === 1 ? answers[0]! : answers, 200);
  }

  const app = new OpenAPIHono();
  for (const path of ['/completion', '/completions']) {
    app.openapi(completionRoute(path), (c) => {
      const body = c.req.valid('json');
      const encode: EncodeText = (text, isFirst) =>
        serving.tokenize(body.model ?? undefined, { kind: 'text', text, addSpecialTokens: isFirst }).tokenIds;
      return answer(c, body, toPrompts(body.prompt, encode));
    });
  }
  app.openapi(infillRoute, (c) => {
    const body = c.req.valid('json');
    const prompt = { kind: 'fill' as const, prefix: body.input_prefix, suffix: body.input_suffix };
    return answer(c, body, [{ sent: body.input_prefix, prompt }]);
  });
  return app;
}
