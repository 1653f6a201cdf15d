import {
  type ChatMessage,
  ContextLengthError,
  type GenerationRequest,
  type Prompt,
  RequestError,
  type StructuredOutput,
  type ToolUse,
} from '../../../serving/index.js';
import { toGenerationOptions } from '../sampling.js';
import { priorityOf } from '../service-tier.js';
import { toStructuredOutput } from '../structured-output.js';
import type { Item } from './item-schemas.js';
import { toChatMessages } from './messages.js';
import type { PromptBody, ResponsesBody } from './request-schema.js';

/** A conversation with the tools that the model may call, as serving takes them. */
export interface ResponsePrompt {
  prompt: Extract<Prompt, { kind: 'chat' }>;
  tools?: ToolUse;
}

/**
 * @param items The conversation so far and the request's input.
 * @throws RequestError
 */
export function toPrompt(body: PromptBody, items: readonly Item[]): ResponsePrompt {
  const messages = toChatMessages(body.instructions, items);
  if (messages.length === 0) throw new RequestError('input: must have at least 1 item', { param: 'input' });
  return {
    prompt: {
      kind: 'chat',
      messages,
      continueFinalMessage: isUnfinished(items.at(-1), messages.at(-1)),
      templateArguments: toTemplateArguments(body),
    },
    tools: toToolUse(body),
  };
}

/** Whether the last thing that was said is an assistant's text that goes on, as with vLLM. */
function isUnfinished(item: Item | undefined, message: ChatMessage | undefined): boolean {
  if (item?.type !== 'message' || item.role !== 'assistant' || item.status === 'completed') return false;
  return message?.content !== '';
}

function toTemplateArguments({ reasoning, chat_template_kwargs }: PromptBody): Record<string, unknown> {
  const effort = reasoning?.effort;
  return {
    ...(effort != null && { reasoning_effort: effort }),
    ...(effort === 'none' && { enable_thinking: false }),
    ...chat_template_kwargs,
  };
}

/** Undefined where there are no tools. Tools that are not allowed are not shown to the model. */
function toToolUse({ tools, tool_choice, parallel_tool_calls }: PromptBody): ToolUse | undefined {
  if (tools == null || tools.length === 0) return undefined;
  const choice = tool_choice ?? 'auto';
  const allowed =
    typeof choice === 'object' && choice.type === 'allowed_tools'
      ? new Set(choice.tools.map(({ name }) => name))
      : undefined;
  return {
    definitions: tools
      .filter(({ name }) => allowed?.has(name) ?? true)
      .map(({ name, description, parameters }) => ({
        name,
        description: description ?? undefined,
        parameters: parameters ?? undefined,
      })),
    choice: toChoice(choice),
    parallel: parallel_tool_calls ?? true,
  };
}

function toChoice(choice: NonNullable<PromptBody['tool_choice']>): ToolUse['choice'] {
  if (typeof choice === 'string') return choice;
  return choice.type === 'function' ? { name: choice.name } : choice.mode;
}

export function toGenerationRequest(id: string, body: ResponsesBody, prompt: ResponsePrompt): GenerationRequest {
  const options = toGenerationOptions(body);
  return {
    ...options,
    ...prompt,
    id,
    priority: priorityOf(body),
    sampling: {
      ...options.sampling,
      maxTokens: body.max_output_tokens ?? undefined,
      logprobs: wantsLogprobs(body) ? (body.top_logprobs ?? 0) : null,
    },
    structuredOutput: fromTextFormat(body) ?? toStructuredOutput(body),
  };
}

export function wantsLogprobs({ include, top_logprobs }: ResponsesBody): boolean {
  return (top_logprobs ?? 0) > 0 || (include?.includes('message.output_text.logprobs') ?? false);
}

function fromTextFormat({ text }: ResponsesBody): StructuredOutput | undefined {
  const format = text?.format;
  switch (format?.type) {
    case 'json_object':
      return { kind: 'json_object' };
    case 'json_schema':
      return {
        kind: 'json_schema',
        schema: format.schema,
        strict: format.strict ?? false,
        param: 'text.format.schema',
      };
    default:
      return undefined;
  }
}

/** Fields of a chat under the names that responses have for them. */
const PARAMS: Record<string, string> = { messages: 'input', max_tokens: 'max_output_tokens' };

/** An error of serving, about the field that a client of responses knows. */
export function inTermsOfResponses(error: unknown): unknown {
  if (!(error instanceof RequestError) || error.param === null) return error;
  const param = PARAMS[error.param];
  if (param === undefined) return error;
  if (error instanceof ContextLengthError) return new ContextLengthError(error.message, param);
  return new RequestError(error.message, { param, code: error.code });
}
