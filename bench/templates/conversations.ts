import type { ChatPrompt } from '../../src/serving/text/chat-template.js';
import type { ChatMessage, ToolUse } from '../../src/serving/types.js';

/** What a chat template is asked to render. */
export interface Conversation extends ChatPrompt {
  name: string;
  tools?: ToolUse;
}

const parameter = (type: string, description: string) => ({ type, description });

/** With everything that some template uses without asking whether it is there. */
const TOOLS: ToolUse = {
  definitions: [
    {
      name: 'get_weather',
      description: 'The weather at a place',
      parameters: {
        type: 'object',
        properties: { city: parameter('string', 'Where'), days: parameter('integer', 'For how long') },
        required: ['city'],
      },
    },
    {
      name: 'add_note',
      description: 'Keeps a "note"',
      parameters: { type: 'object', properties: { text: parameter('string', 'What') }, required: ['text'] },
    },
  ],
  choice: 'auto',
  parallel: true,
};

const user: ChatMessage = { role: 'user', content: 'What is the weather in Köln?' };
const system: ChatMessage = { role: 'system', content: 'You are brief.' };
const answer: ChatMessage = { role: 'assistant', content: 'It rains.' };
const thanks: ChatMessage = { role: 'user', content: 'Thanks! <b>And</b> tomorrow?' };
const call: ChatMessage = {
  role: 'assistant',
  content: '',
  tool_calls: [
    {
      id: 'abcdefgh1',
      type: 'function',
      function: { name: 'get_weather', arguments: { city: 'Köln', days: 1 } },
    },
  ],
};
const result: ChatMessage = { role: 'tool', tool_call_id: 'abcdefgh1', name: 'get_weather', content: '{"rain": true}' };

export const CONVERSATIONS: readonly Conversation[] = [
  { name: 'one message', messages: [user] },
  { name: 'a system message', messages: [system, user] },
  { name: 'several turns', messages: [system, user, answer, thanks] },
  { name: 'no generation prompt', messages: [user], addGenerationPrompt: false },
  { name: 'tools', messages: [system, user], tools: TOOLS },
  { name: 'a call and its result', messages: [user, call, result], tools: TOOLS },
  { name: 'a turn after a call', messages: [user, call, result, answer, thanks], tools: TOOLS },
  { name: 'reasoning', messages: [user, { ...answer, reasoning_content: 'It always rains.' }, thanks] },
];
