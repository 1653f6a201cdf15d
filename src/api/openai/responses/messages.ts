import { type ChatMessage, RequestError } from '../../../serving/index.js';
import { parseJson } from '../../access/index.js';
import type { FunctionCallItem, Item, ReasoningItem } from './item-schemas.js';
import { textOf } from './items.js';

type TemplateCall = NonNullable<ChatMessage['tool_calls']>[number];

/** A message of the assistant that may still get further parts from the items that follow. */
interface AssistantMessage extends ChatMessage {
  tool_calls?: TemplateCall[];
}

/**
 * A conversation as chat templates see it. What an assistant thought, said and called in one go is several items, but
 * one message.
 *
 * @param instructions Come first; system messages that follow at once become one with them, as many templates know of
 * one only.
 * @throws RequestError when a tool's output answers no call.
 */
export function toChatMessages(instructions: string | null | undefined, items: readonly Item[]): ChatMessage[] {
  const messages: ChatMessage[] = [];
  const calls = new Set<string>();
  /** The last message, if it is one of the assistant. */
  let assistant: AssistantMessage | undefined;

  function add(message: ChatMessage): void {
    messages.push(message);
    assistant = undefined;
  }

  /** The last message if it is the assistant's and has room for something, else a new one. */
  function assistantWith(hasRoom: (message: AssistantMessage) => boolean): AssistantMessage {
    if (assistant === undefined || !hasRoom(assistant)) {
      const message: AssistantMessage = { role: 'assistant', content: '' };
      add(message);
      assistant = message;
    }
    return assistant;
  }

  if (instructions) add({ role: 'system', content: instructions });
  for (const item of items) {
    switch (item.type) {
      case 'message': {
        const content = textOf(item.content);
        if (item.role === 'assistant') {
          assistantWith((message) => message.content === '').content = content;
          break;
        }
        // OpenAI's newer name of the system role; templates of open models know only the older one.
        const role = item.role === 'developer' ? 'system' : item.role;
        const [first] = messages;
        if (role === 'system' && messages.length === 1 && first?.role === 'system') first.content += `\n\n${content}`;
        else add({ role, content });
        break;
      }
      case 'reasoning': {
        const thoughts = thoughtsOf(item);
        if (thoughts === '') break;
        assistantWith((message) => message.reasoning_content === undefined).reasoning_content = thoughts;
        break;
      }
      case 'function_call': {
        calls.add(item.call_id);
        const message = assistantWith(() => true);
        message.tool_calls = [...(message.tool_calls ?? []), toTemplateCall(item)];
        break;
      }
      case 'function_call_output':
        if (!calls.has(item.call_id)) {
          const text = `No tool call found for function call output with call_id ${item.call_id}.`;
          throw new RequestError(text, { param: 'input' });
        }
        add({ role: 'tool', content: textOf(item.output), tool_call_id: item.call_id });
        break;
    }
  }
  return messages;
}

function thoughtsOf({ content, summary }: ReasoningItem): string {
  return (content.length > 0 ? content : summary).map(({ text }) => text).join('\n');
}

/** Arguments that were cut off, or that a model got wrong, are shown to it as they are. */
function toTemplateCall({ call_id, name, arguments: json }: FunctionCallItem): TemplateCall {
  return { id: call_id, type: 'function', function: { name, arguments: parseArguments(json) } };
}

function parseArguments(json: string): unknown {
  if (json.trim() === '') return {};
  try {
    return parseJson(json);
  } catch {
    return json;
  }
}
