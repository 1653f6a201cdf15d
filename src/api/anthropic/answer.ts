import type { z } from '@hono/zod-openapi';
import type { Usage } from '../../serving/index.js';
import { parseCallArguments } from '../call-arguments.js';
import type { Choice, ChoiceEnd, CollectedCall } from '../openai/submission.js';
import type { MessagesAnswer } from './schemas.js';

type Answer = z.infer<typeof MessagesAnswer>;

/** What is known of an answer before it is generated. */
export interface AnswerHead {
  id: string;
  model: string;
  /** Whether to tell what was thought. */
  withThinking: boolean;
}

/** A whole answer: what was thought, what is said, and calls of tools, each a block. */
export function toAnswer({ id, model, withThinking }: AnswerHead, choice: Choice, usage: Usage): Answer {
  const { text, reasoning, toolCalls, end } = choice;
  return {
    id,
    type: 'message',
    role: 'assistant',
    model,
    content: [
      ...(reasoning === '' || !withThinking ? [] : [{ type: 'thinking' as const, thinking: reasoning, signature: '' }]),
      ...(text === '' ? [] : [{ type: 'text' as const, text }]),
      ...toolCalls.map(toBlock),
    ],
    ...toStop(end),
    usage: toWireUsage(usage),
  };
}

function toBlock({ id, name, arguments: json }: CollectedCall) {
  return { type: 'tool_use' as const, id, name, input: parseCallArguments(json) };
}

export function toStop({ reason, stopReason }: ChoiceEnd): Pick<Answer, 'stop_reason' | 'stop_sequence'> {
  if (reason === 'length') return { stop_reason: 'max_tokens', stop_sequence: null };
  if (reason === 'tool_calls') return { stop_reason: 'tool_use', stop_sequence: null };
  if (typeof stopReason === 'string') return { stop_reason: 'stop_sequence', stop_sequence: stopReason };
  return { stop_reason: 'end_turn', stop_sequence: null };
}

export function toWireUsage({ promptTokens, cachedTokens, completionTokens }: Usage): Answer['usage'] {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cachedTokens,
    output_tokens: completionTokens,
  };
}
