import type { ChatMessage, ToolDefinition } from '../../types.js';
import { callText, describeTools, resultText } from './generic.js';

/**
 * Messages for a template that knows no tools: their descriptions go before all else, calls and results become text,
 * and results come from the user, as such templates know no other role for them.
 */
export function withToolsAsText(messages: readonly ChatMessage[], tools: readonly ToolDefinition[]): ChatMessage[] {
  const plain: ChatMessage[] = [];
  /** The message that results go to: many templates refuse two of a user in a row. */
  let results: ChatMessage | undefined;
  for (const message of messages) {
    if (message.role !== 'tool') {
      results = undefined;
      plain.push(withCallsAsText(message));
    } else if (results === undefined) {
      results = { role: 'user', content: resultText(message.content) };
      plain.push(results);
    } else {
      results.content += `\n${resultText(message.content)}`;
    }
  }
  if (tools.length === 0) return plain;
  const description = describeTools(tools);
  const first = plain[0];
  if (first?.role !== 'system') return [{ role: 'system', content: description }, ...plain];
  return [
    { ...first, content: first.content === '' ? description : `${first.content}\n\n${description}` },
    ...plain.slice(1),
  ];
}

function withCallsAsText({ tool_calls: toolCalls, ...message }: ChatMessage): ChatMessage {
  if (toolCalls === undefined || toolCalls.length === 0) return message;
  const calls = toolCalls.map((call) => callText(call.function.name, call.function.arguments));
  return { ...message, content: [message.content, ...calls].filter((text) => text !== '').join('\n') };
}

/** For a template that refuses a system's message: it goes to the beginning of the user's first one. */
export function withoutSystemMessage(messages: readonly ChatMessage[]): ChatMessage[] {
  const [system, first, ...rest] = messages;
  if (system?.role !== 'system') return [...messages];
  if (first?.role !== 'user') return [{ role: 'user', content: system.content }, ...messages.slice(1)];
  return [{ ...first, content: `${system.content}\n\n${first.content}` }, ...rest];
}
