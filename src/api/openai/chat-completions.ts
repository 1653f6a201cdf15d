import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ChatMessage, GenerationRequest } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { answerHead } from './answer-head.js';
import { ChatCompletion, type ChatCompletionBody, ChatCompletionRequest, type WireMessage } from './chat-schemas.js';
import { type ChunkWriter, chunkWriter } from './chunks.js';
import { toChatLogprobs } from './logprobs.js';
import { toGenerationOptions } from './sampling.js';
import { errorResponses } from './schemas.js';
import { type EventWriter, streamEvents } from './sse.js';
import { collect, type Submission, submit, toWireFinish } from './submission.js';
import { toWireUsage } from './usage.js';

const route = createRoute({
  method: 'post',
  path: '/chat/completions',
  summary: 'Answer a chat',
  request: { body: { required: true, content: { 'application/json': { schema: ChatCompletionRequest } } } },
  responses: {
    200: {
      description: 'The answer; with `stream`, events of type `chat.completion.chunk` and `[DONE]`.',
      content: { 'application/json': { schema: ChatCompletion }, 'text/event-stream': { schema: z.string() } },
    },
    ...errorResponses,
  },
});

/** `POST /chat/completions`, field for field as OpenAI and its clients have it. */
export function chatCompletions(context: ApiContext): OpenAPIHono {
  return new OpenAPIHono().openapi(route, async (c) => {
    const body = c.req.valid('json');
    const id = `chatcmpl-${randomUUID().replaceAll('-', '')}`;
    const withLogprobs = body.logprobs === true;
    const submission = await submit(context, [toGenerationRequest(id, body)], body.n ?? 1, c.req.raw.signal);

    if (body.stream) {
      const head = answerHead(id, 'chat.completion.chunk', submission.model);
      const chunk = chunkWriter(head, body.stream_options ?? {}, submission.usage);
      return streamEvents(c, submission, chunkEvents(chunk, withLogprobs), context.logger);
    }
    const head = answerHead(id, 'chat.completion', submission.model);
    return c.json({ ...head, ...(await wholeAnswer(submission, withLogprobs)) }, 200);
  });
}

function toGenerationRequest(id: string, body: ChatCompletionBody): GenerationRequest {
  const options = toGenerationOptions(body);
  return {
    ...options,
    id,
    prompt: {
      kind: 'chat',
      messages: body.messages.map(toChatMessage),
      addGenerationPrompt: body.add_generation_prompt ?? undefined,
      templateArguments: toTemplateArguments(body),
    },
    sampling: {
      ...options.sampling,
      maxTokens: body.max_completion_tokens ?? options.sampling.maxTokens,
      logprobs: body.logprobs ? (body.top_logprobs ?? 0) : null,
    },
  };
}

function toChatMessage(message: WireMessage): ChatMessage {
  return {
    // OpenAI's newer name of the system role; templates of open models know only the older one.
    role: message.role === 'developer' ? 'system' : message.role,
    content: toText(message.content),
    ...(message.name != null && { name: message.name }),
  };
}

/** Parts are joined by line breaks, as vLLM and llama-server do for templates that know only strings. */
function toText(content: WireMessage['content']): string {
  if (content == null) return '';
  return typeof content === 'string' ? content : content.map((part) => part.text).join('\n');
}

function toTemplateArguments(body: ChatCompletionBody): Record<string, unknown> | undefined {
  if (body.reasoning_effort == null) return body.chat_template_kwargs ?? undefined;
  return { reasoning_effort: body.reasoning_effort, ...body.chat_template_kwargs };
}

async function wholeAnswer(submission: Submission, withLogprobs: boolean) {
  const choices = await collect(submission);
  return {
    choices: choices.map(({ text, tokens, end }) => ({
      index: end.choice,
      message: { role: 'assistant' as const, content: text, refusal: null },
      logprobs: withLogprobs ? toChatLogprobs(tokens) : null,
      ...toWireFinish(end),
    })),
    usage: toWireUsage(submission.usage()),
  };
}

/** Each choice begins with a chunk that has its role, and ends with one that has its finish reason. */
function chunkEvents(chunk: ChunkWriter, withLogprobs: boolean): EventWriter {
  const begun = new Set<number>();

  function begin(index: number): string {
    if (begun.has(index)) return '';
    begun.add(index);
    const role = '{"role":"assistant","content":"","refusal":null}';
    return chunk.choice(`{"index":${index},"delta":${role},"logprobs":null,"finish_reason":null}`);
  }

  return {
    event(event) {
      const index = event.choice;
      if (event.type === 'finish') {
        const finish = JSON.stringify(toWireFinish(event)).slice(1);
        return begin(index) + chunk.choice(`{"index":${index},"delta":{},"logprobs":null,${finish}`);
      }
      if (event.text === '' && event.tokens.length === 0) return '';
      const delta = `{"content":${JSON.stringify(event.text)}}`;
      const logprobs = withLogprobs ? JSON.stringify(toChatLogprobs(event.tokens)) : 'null';
      return (
        begin(index) + chunk.choice(`{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":null}`)
      );
    },
    end: chunk.end,
  };
}
