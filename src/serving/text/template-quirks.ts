import type { ChatMessage, ToolDefinition } from '../types.js';

/** What single families' templates want besides, or instead of, what all do. */
export interface TemplateQuirks {
  messages(messages: readonly ChatMessage[]): readonly ChatMessage[];
  /** Variables besides those that every template gets. */
  variables(tools: readonly ToolDefinition[]): Record<string, unknown>;
}

/** @param source Jinja source */
export function templateQuirks(source: string): TemplateQuirks {
  const wantsShortIds = /\blength\s*!=\s*9\b/.test(source);
  const wantsThinking =
    /\.thinking\b|["']thinking["'] in message/.test(source) && !source.includes('reasoning_content');
  const wantsFunctions = source.includes('+ functions') && source.includes('+ datetime');

  function adapt(message: ChatMessage): ChatMessage {
    let adapted = message;
    if (wantsShortIds) adapted = withShortIds(adapted);
    if (wantsThinking) adapted = withThinking(adapted);
    return adapted;
  }

  return {
    messages: (messages) => (wantsShortIds || wantsThinking ? messages.map(adapt) : messages),
    variables(tools) {
      if (!wantsFunctions) return {};
      const functions = tools.length === 0 ? '' : JSON.stringify(tools, null, 2);
      return { functions, datetime: new Date().toDateString().slice(4) };
    },
  };
}

/** Mistral's templates refuse ids of calls that are not nine letters and digits, as other servers' are. */
function withShortIds(message: ChatMessage): ChatMessage {
  const { tool_calls: calls, tool_call_id: id } = message;
  return {
    ...message,
    ...(calls && { tool_calls: calls.map((call) => ({ ...call, id: shortId(call.id) })) }),
    ...(id !== undefined && { tool_call_id: shortId(id) }),
  };
}

/** The end of an id is what tells it from others. */
function shortId(id: string): string {
  return id
    .replace(/[^0-9A-Za-z]/g, '')
    .slice(-9)
    .padStart(9, '0');
}

/** GPT-OSS's template takes reasoning as `thinking`, but not next to text and calls; LFM2.5's as well. */
function withThinking(message: ChatMessage): ChatMessage {
  const { reasoning_content: reasoning, content, tool_calls: calls } = message;
  if (!reasoning || message.thinking !== undefined || (content !== '' && calls?.length)) return message;
  return { ...message, thinking: reasoning };
}

/** A schema of which every part has a type and a description; Python's templates take what is not there for ''. */
export function completeSchema(schema: Record<string, unknown>): Record<string, unknown> {
  const { properties, items } = schema;
  return {
    type: Array.isArray(schema.enum) ? typeof schema.enum[0] : 'string',
    description: '',
    ...schema,
    ...(isObject(properties) && {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, part]) => [name, isObject(part) ? completeSchema(part) : part]),
      ),
    }),
    ...(isObject(items) && { items: completeSchema(items) }),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
