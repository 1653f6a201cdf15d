import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { GenerationRequest, StructuredOutput } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { SSE_CONTENT_TYPE } from '../openai/sse.js';
import { type Choice, collect, submit } from '../openai/submission.js';
import { type StreamFormat, streamAnswer } from '../stream.js';
import { toAnswer } from './answer.js';
import { anthropicErrors, nameRequest, toAnthropicError } from './errors.js';
import { anthropicEvent, messageEvents } from './events.js';
import { toChatPrompt, toToolUse } from './prompt.js';
import { MessagesAnswer, type MessagesBody, MessagesRequest } from './schemas.js';

const route = createRoute({
  method: 'post',
  path: '/v1/messages',
  summary: "Answer a chat (Anthropic's Messages API)",
  request: { body: { required: true, content: { 'application/json': { schema: MessagesRequest } } } },
  responses: {
    200: {
      description: 'The answer; with `stream`, events from `message_start` to `message_stop`.',
      content: { 'application/json': { schema: MessagesAnswer }, 'text/event-stream': { schema: z.string() } },
    },
    ...anthropicErrors,
  },
});

/** `POST /v1/messages`, field for field as Anthropic's clients have it. */
export function messages(context: ApiContext): OpenAPIHono {
  return new OpenAPIHono().openapi(route, async (c) => {
    const body = c.req.valid('json');
    nameRequest(c);
    const id = `msg_${randomUUID().replaceAll('-', '')}`;
    const submission = await submit(context, [toGenerationRequest(id, body)], 1, c);
    const head = { id, model: submission.model.id, withThinking: showsThinking(body) };
    if (body.stream) {
      return streamAnswer(c, submission, messageEvents(head, submission.usage), streamFormat(c), context.logger);
    }
    const [choice] = await collect(submission);
    return c.json(toAnswer(head, choice as Choice, submission.usage()), 200);
  });
}

function showsThinking({ thinking }: MessagesBody): boolean {
  return thinking == null || thinking.type === 'disabled' || thinking.display !== 'omitted';
}

function streamFormat(c: Context): StreamFormat {
  return {
    contentType: SSE_CONTENT_TYPE,
    error: (reply) => anthropicEvent({ type: 'error', ...toAnthropicError(reply, c).body }),
  };
}

function toGenerationRequest(id: string, body: MessagesBody): GenerationRequest {
  return {
    id,
    model: body.model ?? undefined,
    prompt: toChatPrompt(body),
    tools: toToolUse(body),
    stop: body.stop_sequences ?? undefined,
    structuredOutput: toStructuredOutput(body),
    thinkingBudget: body.thinking?.type === 'enabled' ? (body.thinking.budget_tokens ?? undefined) : undefined,
    sampling: {
      maxTokens: body.max_tokens,
      temperature: body.temperature ?? undefined,
      topK: body.top_k ?? undefined,
      topP: body.top_p ?? undefined,
    },
  };
}

function toStructuredOutput({ output_config, output_format }: MessagesBody): StructuredOutput | undefined {
  const format = output_config?.format ?? output_format;
  if (format == null) return undefined;
  const param = output_config?.format == null ? 'output_format.schema' : 'output_config.format.schema';
  return { kind: 'json_schema', schema: format.schema, strict: true, param };
}
