import type { GeneratedToken, GenerationDelta, ToolCallDelta } from '../../../serving/index.js';
import { toChatLogprobs } from '../logprobs.js';
import type { FunctionCallItem, ItemLogprobs, MessageOutput, OutputItem, ReasoningItem } from './item-schemas.js';
import { newId } from './items.js';

/** An event of a stream, as OpenAI has it, but for its `sequence_number`. */
export interface ResponseEvent {
  type: string;
  [field: string]: unknown;
}

/** Puts an answer together from its deltas. */
export interface ResponseOutput {
  /** The items so far, growing. */
  readonly items: readonly OutputItem[];
  /** Takes a delta; returns the events that tell a client of it. */
  push(delta: GenerationDelta): ResponseEvent[];
  /** @param complete false when the answer was cut off: the item that was being written stays incomplete. */
  finish(complete: boolean): ResponseEvent[];
}

interface OpenItem<T extends OutputItem> {
  index: number;
  item: T;
}

/**
 * Items are in the order in which they begin: reasoning, one message with all text, function calls. Text that comes
 * after a call still belongs to the message, which therefore ends with the answer. Whether deltas come one by one or
 * merged then makes no difference.
 *
 * Text of white space alone begins no message, because models put such between calls; it is kept for text that follows.
 */
export function createResponseOutput(withLogprobs: boolean): ResponseOutput {
  const items: OutputItem[] = [];
  let reasoning: OpenItem<ReasoningItem> | undefined;
  let message: OpenItem<MessageOutput> | undefined;
  let call: (OpenItem<FunctionCallItem> & { callIndex: number }) | undefined;
  /** White space that no text has followed yet. */
  let heldText = '';
  /** Tokens that have said nothing yet. Those of reasoning and of calls are dropped: only text shows its tokens. */
  let heldTokens: GeneratedToken[] = [];

  function open<T extends OutputItem>(item: T, events: ResponseEvent[]): OpenItem<T> {
    const index = items.push(item) - 1;
    events.push({ type: 'response.output_item.added', output_index: index, item: structuredClone(item) });
    return { index, item };
  }

  function close({ index, item }: OpenItem<OutputItem>, status: OutputItem['status'], events: ResponseEvent[]): void {
    item.status = status;
    events.push({ type: 'response.output_item.done', output_index: index, item });
  }

  function think(text: string, events: ResponseEvent[]): void {
    if (reasoning === undefined) {
      const item: ReasoningItem = {
        type: 'reasoning',
        id: newId('rs'),
        status: 'in_progress',
        summary: [],
        content: [],
      };
      reasoning = open(item, events);
      const part = { type: 'reasoning_text' as const, text: '' };
      events.push({ type: 'response.content_part.added', ...place(reasoning), part: { ...part } });
      reasoning.item.content.push(part);
    }
    reasoning.item.content[0]!.text += text;
    events.push({ type: 'response.reasoning_text.delta', ...place(reasoning), delta: text });
  }

  function endThinking(status: OutputItem['status'], events: ResponseEvent[]): void {
    if (reasoning === undefined) return;
    const part = reasoning.item.content[0]!;
    events.push({ type: 'response.reasoning_text.done', ...place(reasoning), text: part.text });
    events.push({ type: 'response.content_part.done', ...place(reasoning), part });
    close(reasoning, status, events);
    reasoning = undefined;
  }

  function sayHeld(events: ResponseEvent[]): void {
    if (message === undefined) {
      const id = newId('msg');
      const item: MessageOutput = { type: 'message', id, status: 'in_progress', role: 'assistant', content: [] };
      message = open(item, events);
      const part: MessageOutput['content'][number] = { type: 'output_text', text: '', annotations: [], logprobs: [] };
      events.push({ type: 'response.content_part.added', ...place(message), part: structuredClone(part) });
      message.item.content.push(part);
    }
    const part = message.item.content[0]!;
    const logprobs: ItemLogprobs = withLogprobs ? toChatLogprobs(heldTokens).content : [];
    part.text += heldText;
    part.logprobs.push(...logprobs);
    events.push({ type: 'response.output_text.delta', ...place(message), delta: heldText, logprobs });
    heldText = '';
    heldTokens = [];
  }

  function endMessage(status: OutputItem['status'], events: ResponseEvent[]): void {
    if (message === undefined) return;
    const part = message.item.content[0]!;
    events.push({
      type: 'response.output_text.done',
      ...place(message),
      text: part.text,
      logprobs: part.logprobs,
    });
    events.push({ type: 'response.content_part.done', ...place(message), part });
    close(message, status, events);
    message = undefined;
  }

  function callTool(delta: ToolCallDelta, events: ResponseEvent[]): void {
    if (call?.callIndex !== delta.index) {
      endCall('completed', events);
      const item: FunctionCallItem = {
        type: 'function_call',
        id: newId('fc'),
        status: 'in_progress',
        call_id: delta.id ?? newId('call'),
        name: delta.name ?? '',
        arguments: '',
      };
      call = { ...open(item, events), callIndex: delta.index };
    }
    if (delta.arguments === '') return;
    call.item.arguments += delta.arguments;
    events.push({
      type: 'response.function_call_arguments.delta',
      item_id: call.item.id,
      output_index: call.index,
      delta: delta.arguments,
    });
  }

  function endCall(status: OutputItem['status'], events: ResponseEvent[]): void {
    if (call === undefined) return;
    const { id, name, arguments: json } = call.item;
    events.push({
      type: 'response.function_call_arguments.done',
      item_id: id,
      output_index: call.index,
      name,
      arguments: json,
    });
    close(call, status, events);
    call = undefined;
  }

  return {
    items,

    push(delta) {
      const events: ResponseEvent[] = [];
      if (delta.reasoning !== '') think(delta.reasoning, events);
      heldText += delta.text;
      for (const token of delta.tokens) heldTokens.push(token);
      if (reasoning !== undefined && delta.text === '') heldTokens = [];
      if (delta.text !== '' && (message !== undefined || heldText.trim() !== '')) {
        endThinking('completed', events);
        sayHeld(events);
      }
      for (const part of delta.toolCalls) {
        heldTokens = [];
        endThinking('completed', events);
        callTool(part, events);
      }
      return events;
    },

    finish(complete) {
      const events: ResponseEvent[] = [];
      const last = items.at(-1);
      const saysLast = last === undefined ? heldText !== '' : last === message?.item && heldTokens.length > 0;
      if (saysLast) sayHeld(events);
      const statusOf = (open: OpenItem<OutputItem> | undefined): OutputItem['status'] =>
        complete || open?.item !== items.at(-1) ? 'completed' : 'incomplete';
      endThinking(statusOf(reasoning), events);
      endMessage(statusOf(message), events);
      endCall(statusOf(call), events);
      return events;
    },
  };
}

/** Where the text of an item is. */
function place({ index, item }: OpenItem<OutputItem>) {
  return { item_id: item.id, output_index: index, content_index: 0 };
}
