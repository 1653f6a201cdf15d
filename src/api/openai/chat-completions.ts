import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { GenerationDelta, GenerationRequest, ToolCallDelta } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { answerHead } from './answer-head.js';
import { ChatCompletion, type ChatCompletionBody, ChatCompletionRequest } from './chat-schemas.js';
import { type ChunkWriter, chunkWriter } from './chunks.js';
import { type TokenName, toChatLogprobs, tokenName, toPromptLogprobs } from './logprobs.js';
import { toChatMessage } from './message-schemas.js';
import { toGenerationOptions } from './sampling.js';
import { errorResponses } from './schemas.js';
import { priorityOf, tierOf } from './service-tier.js';
import { type EventWriter, streamEvents } from './sse.js';
import { type ChoiceEnd, type CollectedCall, collect, type Submission, submit, toWireFinish } from './submission.js';
import { toToolUse } from './tool-schemas.js';
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
    const shape = answerShape(body);
    const submission = await submit(context, [toGenerationRequest(id, body)], body.n ?? 1, c);

    if (body.stream) {
      const head = { ...answerHead(id, 'chat.completion.chunk', submission.model), ...shownTier(body) };
      const chunk = chunkWriter(head, body.stream_options ?? {}, submission.usage);
      return streamEvents(c, submission, chunkEvents(chunk, shape, submission), context.logger);
    }
    const head = { ...answerHead(id, 'chat.completion', submission.model), ...shownTier(body) };
    return c.json({ ...head, ...(await wholeAnswer(submission, shape)) }, 200);
  });
}

/** Said to those who asked for a tier. */
function shownTier({ service_tier }: ChatCompletionBody) {
  return service_tier == null ? {} : { service_tier: tierOf(service_tier) };
}

/** What an answer shows of what was generated. */
interface AnswerShape {
  logprobs: boolean;
  /** Token ids of prompt and answer. */
  tokenIds: boolean;
  tokenName: TokenName;
  reasoning: boolean;
  /** The client chose the tool: OpenAI then calls the end a `stop`, as the model did not decide to call. */
  callIsStop: boolean;
}

function answerShape(body: ChatCompletionBody): AnswerShape {
  return {
    logprobs: body.logprobs === true,
    tokenIds: body.return_token_ids === true,
    tokenName: tokenName(body),
    reasoning: body.include_reasoning !== false,
    callIsStop: typeof body.tool_choice === 'object' && body.tool_choice !== null,
  };
}

function toGenerationRequest(id: string, body: ChatCompletionBody): GenerationRequest {
  const options = toGenerationOptions(body);
  return {
    ...options,
    id,
    priority: priorityOf(body),
    prompt: {
      kind: 'chat',
      messages: body.messages.map(toChatMessage),
      addGenerationPrompt: body.add_generation_prompt ?? undefined,
      continueFinalMessage: body.continue_final_message ?? undefined,
      templateArguments: toTemplateArguments(body),
    },
    sampling: {
      ...options.sampling,
      maxTokens: body.max_completion_tokens ?? options.sampling.maxTokens,
      logprobs: body.logprobs ? (body.top_logprobs ?? 0) : body.return_token_ids ? 0 : null,
    },
    tools: toToolUse(body),
    separateReasoning: body.reasoning_format !== 'none',
    thinkingBudget: toThinkingBudget(body),
  };
}

/** Undefined: any number of tokens. */
function toThinkingBudget({ thinking_token_budget, thinking_budget_tokens }: ChatCompletionBody): number | undefined {
  const budget = thinking_token_budget ?? thinking_budget_tokens ?? -1;
  return budget < 0 ? undefined : budget;
}

function toTemplateArguments({ reasoning_effort: effort, documents, chat_template_kwargs }: ChatCompletionBody) {
  return {
    ...(effort != null && { reasoning_effort: effort }),
    ...(effort === 'none' && { enable_thinking: false }),
    ...(documents != null && { documents }),
    ...chat_template_kwargs,
  };
}

async function wholeAnswer(submission: Submission, shape: AnswerShape) {
  const choices = await collect(submission);
  const [prompt] = submission.promptLogprobs();
  return {
    choices: choices.map(({ text, reasoning, toolCalls, tokens, end }) => ({
      index: end.choice,
      message: {
        role: 'assistant' as const,
        content: text === '' && toolCalls.length > 0 ? null : text,
        ...(shape.reasoning && reasoning !== '' && { reasoning_content: reasoning }),
        ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(toWireCall) }),
        refusal: null,
      },
      logprobs: shape.logprobs ? toChatLogprobs(tokens, shape.tokenName) : null,
      ...(shape.tokenIds && { token_ids: tokens.map(({ tokenId }) => tokenId) }),
      ...toChatFinish(end, shape),
    })),
    usage: toWireUsage(submission.usage()),
    ...(prompt !== undefined && { prompt_logprobs: toPromptLogprobs(prompt) }),
    ...(shape.tokenIds && { prompt_token_ids: promptTokenIds(submission) }),
  };
}

/** A chat is one prompt. */
function promptTokenIds(submission: Submission): number[] {
  return submission.promptTokenIds().flatMap((ids) => [...ids]);
}

function toWireCall({ id, name, arguments: json }: CollectedCall) {
  return { id, type: 'function' as const, function: { name, arguments: json } };
}

function toWireCallDelta({ index, id, name, arguments: json }: ToolCallDelta) {
  if (id === undefined) return { index, function: { arguments: json } };
  return { index, id, type: 'function', function: { name, arguments: json } };
}

function toChatFinish(end: ChoiceEnd, { callIsStop }: AnswerShape) {
  const finish = toWireFinish(end);
  return callIsStop && finish.finish_reason === 'tool_calls' ? { ...finish, finish_reason: 'stop' as const } : finish;
}

/** Each choice begins with a chunk that has its role, and ends with one that has its finish reason. */
function chunkEvents(chunk: ChunkWriter, shape: AnswerShape, submission: Submission): EventWriter {
  const begun = new Set<number>();

  function begin(index: number): string {
    if (begun.has(index)) return '';
    const ofPrompt =
      shape.tokenIds && begun.size === 0 ? `,"prompt_token_ids":${JSON.stringify(promptTokenIds(submission))}` : '';
    begun.add(index);
    const role = '{"role":"assistant","content":"","refusal":null}';
    return chunk.choice(`{"index":${index},"delta":${role},"logprobs":null,"finish_reason":null}`, ofPrompt);
  }

  /** The delta as JSON, or '' where it has nothing to say. */
  function deltaOf({ text, reasoning, toolCalls, tokens }: GenerationDelta): string {
    // Nearly every delta is text alone: this line is as hot as the API gets.
    if (reasoning === '' && toolCalls.length === 0) {
      return text === '' && tokens.length === 0 ? '' : `{"content":${JSON.stringify(text)}}`;
    }
    const delta = {
      ...(shape.reasoning && reasoning !== '' && { reasoning_content: reasoning }),
      ...(text !== '' && { content: text }),
      ...(toolCalls.length > 0 && { tool_calls: toolCalls.map(toWireCallDelta) }),
    };
    return Object.keys(delta).length === 0 && tokens.length === 0 ? '' : JSON.stringify(delta);
  }

  return {
    event(event) {
      const index = event.choice;
      if (event.type === 'finish') {
        const finish = JSON.stringify(toChatFinish(event, shape)).slice(1);
        return begin(index) + chunk.choice(`{"index":${index},"delta":{},"logprobs":null,${finish}`);
      }
      const delta = deltaOf(event);
      if (delta === '') return '';
      const logprobs = shape.logprobs ? JSON.stringify(toChatLogprobs(event.tokens, shape.tokenName)) : 'null';
      const ids = shape.tokenIds ? `,"token_ids":${JSON.stringify(event.tokens.map(({ tokenId }) => tokenId))}` : '';
      return (
        begin(index) +
        chunk.choice(`{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":null${ids}}`)
      );
    },
    end: chunk.end,
  };
}
