import type { GenerationEvent, ToolCallDelta } from '../../src/serving/index.js';

/** A delta of choice 0 with anything in it. */
export function said(content: { text?: string; reasoning?: string; toolCalls?: ToolCallDelta[] }): GenerationEvent {
  return { type: 'delta', choice: 0, text: '', reasoning: '', toolCalls: [], tokens: [], ...content };
}

export function ended(
  reason: 'stop' | 'length' | 'tool_calls' | 'abort' | 'error' = 'stop',
  stopReason: string | number | null = null,
): GenerationEvent {
  return { type: 'finish', choice: 0, reason, stopReason };
}

/** Thinks, speaks and calls two tools, each in several pieces. */
export const everything: readonly GenerationEvent[] = [
  said({ reasoning: 'Hm, ' }),
  said({ reasoning: 'weather.' }),
  said({ text: 'Let me' }),
  said({ text: ' look.' }),
  said({ toolCalls: [{ index: 0, id: 'call_1', name: 'weather', arguments: '' }] }),
  said({ toolCalls: [{ index: 0, arguments: '{"city":' }] }),
  said({
    toolCalls: [
      { index: 0, arguments: '"Köln"}' },
      { index: 1, id: 'call_2', name: 'time', arguments: '{}' },
    ],
  }),
  ended('tool_calls'),
];
