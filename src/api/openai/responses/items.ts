import { randomUUID } from 'node:crypto';
import { ApiError } from '../errors.js';
import type { Item, Part, WireInputItem } from './item-schemas.js';

/** With OpenAI's prefix for the kind of thing: `resp`, `msg`, `fc`, `rs`. */
export function newId(prefix: string): string {
  return `${prefix}_${randomUUID().replaceAll('-', '')}`;
}

/**
 * A request's input as items with ids.
 *
 * @param find Items of stored responses by id.
 * @throws ApiError 404 when an item that is referred to is not stored.
 */
export function toItems(
  input: string | readonly WireInputItem[] | null | undefined,
  find: (id: string) => Item | undefined,
): Item[] {
  if (input == null) return [];
  if (typeof input === 'string') return [userMessage(input)];
  return input.map((item) => toItem(item, find));
}

function userMessage(text: string): Item {
  return {
    type: 'message',
    id: newId('msg'),
    status: 'completed',
    role: 'user',
    content: [{ type: 'input_text', text }],
  };
}

function toItem(item: WireInputItem, find: (id: string) => Item | undefined): Item {
  const status = item.type === 'item_reference' ? undefined : (item.status ?? 'completed');
  switch (item.type) {
    case 'message': {
      const { type, role, content } = item;
      const kind = role === 'assistant' ? 'output_text' : 'input_text';
      const parts = typeof content === 'string' ? [{ type: kind, text: content } as const] : content.map(toPart);
      return { type, id: item.id ?? newId('msg'), status: status!, role, content: parts };
    }
    case 'function_call': {
      const { type, call_id, name, arguments: json } = item;
      return { type, id: item.id ?? newId('fc'), status: status!, call_id, name, arguments: json };
    }
    case 'function_call_output': {
      const { type, call_id, output } = item;
      const said = typeof output === 'string' ? output : output.map(toPart);
      return { type, id: item.id ?? newId('fco'), status: status!, call_id, output: said };
    }
    case 'reasoning': {
      const { type, summary, content } = item;
      return {
        type,
        id: item.id ?? newId('rs'),
        status: status!,
        summary: (summary ?? []).map(({ text }) => ({ type: 'summary_text', text })),
        content: (content ?? []).map(({ text }) => ({ type: 'reasoning_text', text })),
      };
    }
    case 'item_reference': {
      const found = find(item.id);
      if (found) return found;
      const message =
        `Item with id '${item.id}' not found. Only items of responses with \`store\` not false are kept, and the ` +
        'oldest are dropped: send the item itself.';
      throw new ApiError(404, message, { param: 'input' });
    }
  }
}

function toPart(part: { type: Part['type']; text?: unknown; refusal?: unknown }): Part {
  return part.type === 'refusal'
    ? { type: part.type, refusal: part.refusal as string }
    : { type: part.type, text: part.text as string };
}

/** The text of a message or of a tool's output; parts are joined by line breaks, as in chats. */
export function textOf(content: string | readonly Part[]): string {
  return typeof content === 'string' ? content : content.map(({ text, refusal }) => text ?? refusal).join('\n');
}
