import type { GenerationDelta, ToolCallDelta, Usage } from '../../serving/index.js';
import type { ChoiceEnd } from '../openai/submission.js';
import type { EventWriter } from '../stream.js';
import { type AnswerHead, toStop, toWireUsage } from './answer.js';

/** One server-sent event, which Anthropic names after the type of its data. */
export function anthropicEvent(data: { type: string; [field: string]: unknown }): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}

type BlockType = 'thinking' | 'text' | 'tool_use';

/**
 * Writes an answer as Anthropic streams it: `message_start`, for each block `content_block_start`, its deltas and
 * `content_block_stop`, then `message_delta` and `message_stop`.
 *
 * @param usage Running totals.
 */
export function messageEvents({ id, model, withThinking }: AnswerHead, usage: () => Usage): EventWriter {
  let begun = false;
  /** Of the block that is being written. */
  let index = -1;
  let open: BlockType | undefined;

  function begin(): string {
    if (begun) return '';
    begun = true;
    const message = {
      id,
      type: 'message',
      role: 'assistant',
      model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { ...toWireUsage(usage()), output_tokens: 0 },
    };
    return anthropicEvent({ type: 'message_start', message }) + anthropicEvent({ type: 'ping' });
  }

  function openBlock(type: BlockType, content: object): string {
    const closed = closeBlock();
    open = type;
    index += 1;
    return closed + anthropicEvent({ type: 'content_block_start', index, content_block: { type, ...content } });
  }

  function closeBlock(): string {
    if (open === undefined) return '';
    // Clients expect one before a thinking block ends; nobody else's model has signatures.
    const signature = open === 'thinking' ? blockDelta({ type: 'signature_delta', signature: '' }) : '';
    open = undefined;
    return signature + anthropicEvent({ type: 'content_block_stop', index });
  }

  function blockDelta(delta: object): string {
    return anthropicEvent({ type: 'content_block_delta', index, delta });
  }

  function think(thinking: string): string {
    if (thinking === '' || !withThinking) return '';
    const start = open === 'thinking' ? '' : openBlock('thinking', { thinking: '', signature: '' });
    return start + blockDelta({ type: 'thinking_delta', thinking });
  }

  function say(text: string): string {
    if (text === '') return '';
    const start = open === 'text' ? '' : openBlock('text', { text: '' });
    return start + blockDelta({ type: 'text_delta', text });
  }

  function call({ id: callId, name, arguments: json }: ToolCallDelta): string {
    const start = callId === undefined ? '' : openBlock('tool_use', { id: callId, name, input: {} });
    return start + (json === '' ? '' : blockDelta({ type: 'input_json_delta', partial_json: json }));
  }

  return {
    event(event: GenerationDelta | ChoiceEnd) {
      if (event.type === 'delta') {
        const { reasoning, text, toolCalls } = event;
        const said = think(reasoning) + say(text) + toolCalls.map(call).join('');
        return said === '' ? '' : begin() + said;
      }
      return (
        begin() +
        closeBlock() +
        anthropicEvent({ type: 'message_delta', delta: toStop(event), usage: toWireUsage(usage()) })
      );
    },
    end: () => anthropicEvent({ type: 'message_stop' }),
  };
}
