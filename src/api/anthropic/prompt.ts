import type { ChatMessage, Prompt, ToolUse } from '../../serving/index.js';
import type { PromptFields, WireBlock, WireMessage } from './schemas.js';

/** The chat of a request. An assistant's message at its end is the beginning of the answer. */
export function toChatPrompt(body: PromptFields): Extract<Prompt, { kind: 'chat' }> {
  const { system, messages } = body;
  return {
    kind: 'chat',
    messages: [
      ...(system == null ? [] : [{ role: 'system', content: joinText(system) }]),
      ...messages.flatMap(toChatMessages),
    ],
    continueFinalMessage: messages.at(-1)?.role === 'assistant' ? true : undefined,
    templateArguments: toTemplateArguments(body),
  };
}

function toTemplateArguments({ thinking, output_config }: PromptFields): Record<string, unknown> | undefined {
  const budget = thinking?.type === 'enabled' ? thinking.budget_tokens : undefined;
  const effort = output_config?.effort;
  const given = {
    ...(thinking != null && { enable_thinking: thinking.type !== 'disabled' }),
    ...(budget != null && { thinking_budget: budget }),
    ...(effort != null && { reasoning_effort: effort }),
  };
  return Object.keys(given).length > 0 ? given : undefined;
}

/** Results of tools are messages of their own, and come before what the user says to them. */
function toChatMessages({ role, content }: WireMessage): ChatMessage[] {
  if (typeof content === 'string') return [{ role, content }];
  const results = ofType(content, 'tool_result').map((block) => ({
    role: 'tool',
    tool_call_id: block.tool_use_id,
    content: joinText(block.content ?? ''),
  }));
  const texts = ofType(content, 'text');
  if (results.length > 0 && texts.length === 0) return results;
  const thoughts = ofType(content, 'thinking');
  const calls = ofType(content, 'tool_use');
  const message: ChatMessage = {
    role,
    content: joinText(texts),
    ...(thoughts.length > 0 && { reasoning_content: thoughts.map(({ thinking }) => thinking).join('\n') }),
    ...(calls.length > 0 && { tool_calls: calls.map(toTemplateCall) }),
  };
  return [...results, message];
}

function toTemplateCall({ id, name, input }: Extract<WireBlock, { type: 'tool_use' }>) {
  return { id, type: 'function' as const, function: { name, arguments: input } };
}

function ofType<T extends WireBlock['type']>(blocks: readonly WireBlock[], type: T) {
  return blocks.filter((block): block is Extract<WireBlock, { type: T }> => block.type === type);
}

/** Blocks are joined by line breaks, as content parts of OpenAI's messages are. */
function joinText(content: string | readonly { text: string }[]): string {
  return typeof content === 'string' ? content : content.map(({ text }) => text).join('\n');
}

/** Undefined where there are no tools. */
export function toToolUse({ tools, tool_choice: choice }: PromptFields): ToolUse | undefined {
  if (tools == null || tools.length === 0) return undefined;
  return {
    definitions: tools.map(({ name, description, input_schema }) => ({
      name,
      description: description ?? undefined,
      parameters: input_schema,
    })),
    choice: toChoice(choice),
    parallel: choice == null || choice.type === 'none' || choice.disable_parallel_tool_use !== true,
  };
}

function toChoice(choice: PromptFields['tool_choice']): ToolUse['choice'] {
  switch (choice?.type) {
    case 'any':
      return 'required';
    case 'tool':
      return { name: choice.name };
    case 'none':
      return 'none';
    default:
      return 'auto';
  }
}
