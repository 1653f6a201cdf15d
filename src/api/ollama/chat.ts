import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ChatMessage, GenerationRequest, ToolUse, Usage } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { type Choice, collect, submit } from '../openai/submission.js';
import { type EventWriter, streamAnswer } from '../stream.js';
import { type Timing, timed } from '../timing.js';
import { createCallCollector, ndjson, toEnd, toHead, toLine, toLogprobs, toToolCall } from './answer.js';
import { ChatAnswer, type ChatBody, ChatRequest, type WireMessage } from './chat-schemas.js';
import { ollamaErrors } from './errors.js';
import { loadedReason } from './loaded.js';
import { servedName } from './model-name.js';
import { toGenerationOptions, toTemplateArguments } from './options.js';

const route = createRoute({
  method: 'post',
  path: '/api/chat',
  summary: 'Answer a chat (Ollama)',
  request: { body: { required: true, content: { 'application/json': { schema: ChatRequest } } } },
  responses: {
    200: {
      description: 'The answer, unless `stream` is false in lines of this type.',
      content: { 'application/json': { schema: ChatAnswer }, [ndjson.contentType]: { schema: z.string() } },
    },
    ...ollamaErrors,
  },
});

/** `POST /api/chat`, field for field as Ollama's clients have it. */
export function chat(context: ApiContext): OpenAPIHono {
  return new OpenAPIHono().openapi(route, async (c) => {
    const start = performance.now();
    const body = c.req.valid('json');
    const model = servedName(context.serving, body.model);
    const { messages } = body;
    if (messages == null || messages.length === 0) {
      const message = { role: 'assistant' as const, content: '' };
      return c.json({ ...toHead(body.model), message, done: true, done_reason: loadedReason(body) }, 200);
    }
    const request = toGenerationRequest(model, messages, body);
    const { submission, timing } = timed(await submit(context, [request], 1, c), start);
    if (body.stream !== false) {
      return streamAnswer(c, submission, chatLines(body.model, submission.usage, timing), ndjson, context.logger);
    }
    const [choice] = await collect(submission);
    return c.json(wholeAnswer(body.model, choice as Choice, submission.usage(), timing), 200);
  });
}

function toGenerationRequest(model: string, messages: WireMessage[], body: ChatBody): GenerationRequest {
  const last = messages.at(-1);
  const continues = last?.role === 'assistant' && !!last.content && !last.tool_calls?.length;
  return {
    ...toGenerationOptions(body),
    id: `ollama-${randomUUID()}`,
    model,
    prompt: {
      kind: 'chat',
      messages: messages.map(toChatMessage),
      continueFinalMessage: continues ? true : undefined,
      templateArguments: toTemplateArguments(body),
    },
    tools: toToolUse(body.tools),
  };
}

function toChatMessage({ role, content, thinking, tool_calls, tool_name, tool_call_id }: WireMessage): ChatMessage {
  return {
    role,
    content: content ?? '',
    ...(thinking != null && { reasoning_content: thinking }),
    ...(tool_name != null && { name: tool_name }),
    ...(tool_call_id != null && { tool_call_id }),
    ...(tool_calls != null &&
      tool_calls.length > 0 && {
        tool_calls: tool_calls.map(({ id, function: { name, arguments: args } }, index) => ({
          // Ollama's calls need no id, but some templates do.
          id: id ?? `call_${index}`,
          type: 'function' as const,
          function: { name, arguments: args ?? {} },
        })),
      }),
  };
}

function toToolUse(tools: ChatBody['tools']): ToolUse | undefined {
  if (tools == null || tools.length === 0) return undefined;
  return {
    definitions: tools.map(({ function: { name, description, parameters } }) => ({
      name,
      description: description ?? undefined,
      parameters: parameters ?? undefined,
    })),
    choice: 'auto',
    parallel: true,
  };
}

function wholeAnswer(model: string, { text, reasoning, toolCalls, tokens, end }: Choice, usage: Usage, timing: Timing) {
  return {
    ...toHead(model),
    message: {
      role: 'assistant' as const,
      content: text,
      ...(reasoning !== '' && { thinking: reasoning }),
      ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(toToolCall) }),
    },
    ...toEnd(end, usage, timing),
    ...toLogprobs(tokens),
  };
}

/** @param usage Running totals. */
function chatLines(model: string, usage: () => Usage, timing: Timing): EventWriter {
  const calls = createCallCollector();
  return {
    event(event) {
      if (event.type === 'finish') {
        const tool_calls = calls.finish();
        const message = { role: 'assistant', content: '', ...(tool_calls.length > 0 && { tool_calls }) };
        return toLine({ ...toHead(model), message, ...toEnd(event, usage(), timing) });
      }
      const { text, reasoning, tokens } = event;
      const tool_calls = calls.push(event.toolCalls);
      if (text === '' && reasoning === '' && tool_calls.length === 0 && tokens.length === 0) return '';
      const message = {
        role: 'assistant',
        content: text,
        ...(reasoning !== '' && { thinking: reasoning }),
        ...(tool_calls.length > 0 && { tool_calls }),
      };
      return toLine({ ...toHead(model), message, done: false, ...toLogprobs(tokens) });
    },
    end: () => '',
  };
}
