import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { GenerationRequest } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { toGenerationOptions } from '../openai/sampling.js';
import { SSE_CONTENT_TYPE, sseEvent } from '../openai/sse.js';
import { type Choice, type ChoiceEnd, collect, type Submission, submit } from '../openai/submission.js';
import { type EventWriter, type StreamFormat, streamAnswer } from '../stream.js';
import { createTokenTexts } from '../token-texts.js';
import { MODEL_VERSION } from './models.js';
import {
  GenerateAnswer,
  type GenerateBody,
  GenerateRequest,
  openInferenceErrors,
  toOpenInferenceError,
} from './schemas.js';

const DEFAULT_MAX_TOKENS = 20;

const MODEL_PATHS = ['/v2/models/{model}', '/v2/models/{model}/versions/{version}'];

const requestOf = (path: string) => ({
  params: z.object({ model: z.string(), ...(path.includes('{version}') && { version: z.string() }) }),
  body: { required: true, content: { 'application/json': { schema: GenerateRequest } } },
});

const generateRoute = (path: string) =>
  createRoute({
    method: 'post',
    path: `${path}/generate`,
    summary: 'Continue a prompt (Open Inference Protocol)',
    request: requestOf(path),
    responses: {
      200: { description: 'The answer.', content: { 'application/json': { schema: GenerateAnswer } } },
      ...openInferenceErrors,
    },
  });

const streamRoute = (path: string) =>
  createRoute({
    method: 'post',
    path: `${path}/generate_stream`,
    summary: 'Continue a prompt, piece by piece (Open Inference Protocol)',
    request: requestOf(path),
    responses: {
      200: {
        description: 'Events, each with a piece of the text.',
        content: { 'text/event-stream': { schema: z.string() } },
      },
      ...openInferenceErrors,
    },
  });

const format: StreamFormat = {
  contentType: SSE_CONTENT_TYPE,
  error: (reply) => sseEvent(JSON.stringify(toOpenInferenceError(reply).body)),
};

/** `generate` and `generate_stream` of a model. */
export function generate(context: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  for (const path of MODEL_PATHS) {
    app.openapi(generateRoute(path), async (c) => {
      const body = c.req.valid('json');
      const submission = await submit(context, [toRequest(c.req.valid('param').model, body)], 1, c);
      const [choice] = await collect(submission);
      return c.json(wholeAnswer(submission, body, choice as Choice), 200);
    });
    app.openapi(streamRoute(path), async (c) => {
      const body = c.req.valid('json');
      const submission = await submit(context, [toRequest(c.req.valid('param').model, body)], 1, c);
      return streamAnswer(c, submission, pieceEvents(submission, body), format, context.logger);
    });
  }
  return app;
}

function toRequest(model: string, { text_input, parameters }: GenerateBody): GenerationRequest {
  const options = toGenerationOptions(parameters ?? {});
  return {
    ...options,
    id: `oip-${randomUUID()}`,
    model,
    prompt: { kind: 'text', text: text_input },
    sampling: {
      ...options.sampling,
      maxTokens: options.sampling.maxTokens ?? DEFAULT_MAX_TOKENS,
      logprobs: parameters?.details ? 0 : null,
    },
  };
}

function toHead({ model }: Submission, { id }: GenerateBody) {
  return { ...(id != null && { id }), model_name: model.id, model_version: MODEL_VERSION };
}

function wholeAnswer(submission: Submission, body: GenerateBody, { text, tokens, end }: Choice) {
  const details = { finish_reason: toFinishReason(end), logprobs: createTokenTexts()(text, tokens) };
  return { ...toHead(submission, body), text_output: text, ...(body.parameters?.details && { details }) };
}

/** Pieces as they come; with details an event for each token, and one more that says why the text ended. */
function pieceEvents(submission: Submission, body: GenerateBody): EventWriter {
  const head = toHead(submission, body);
  const withDetails = body.parameters?.details === true;
  const toTexts = createTokenTexts();
  const write = (text_output: string, details?: object): string =>
    sseEvent(JSON.stringify({ ...head, text_output, ...(details && { details }) }));

  return {
    event(event) {
      if (event.type === 'finish') return withDetails ? write('', { finish_reason: toFinishReason(event) }) : '';
      if (!withDetails) return event.text === '' ? '' : write(event.text);
      const tokens = toTexts(event.text, event.tokens);
      return tokens.map((token) => write(token.special ? '' : token.text, { token })).join('');
    },
    end: () => '',
  };
}

function toFinishReason({ reason, stopReason }: ChoiceEnd) {
  if (reason === 'length') return 'length' as const;
  return typeof stopReason === 'string' ? ('stop_sequence' as const) : ('eos_token' as const);
}
