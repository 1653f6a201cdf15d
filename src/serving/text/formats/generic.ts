import type { ToolDefinition } from '../../types.js';
import { readBareCalls } from './bare-calls.js';
import type { CallSyntax } from './call-syntax.js';
import { hermesCalls } from './hermes.js';

/**
 * For models whose template knows no tools: {@link describeTools} asks for Hermes' format, which many have seen in
 * training, and a bare JSON object that calls one of the tools is taken for what it is.
 */
export const genericCalls: CallSyntax = {
  ...hermesCalls,
  readBare: readBareCalls,
};

/** What such a model is told of its tools. */
export function describeTools(tools: readonly ToolDefinition[]): string {
  const list = tools.map(({ name, description, parameters }) => JSON.stringify({ name, description, parameters }));
  return [
    'You can call functions to help with the request. These are the functions, one JSON object per line:',
    '<tools>',
    ...list,
    '</tools>',
    'To call a function, write its name and its arguments as a JSON object between <tool_call> tags, like this:',
    callText('name of the function', { 'name of an argument': 'its value' }),
    'Results come back between <tool_response> tags. When no function is needed, answer without calling any.',
  ].join('\n');
}

/** A call as it is written in this format. */
export function callText(name: string, callArguments: unknown): string {
  return `<tool_call>\n${JSON.stringify({ name, arguments: callArguments })}\n</tool_call>`;
}

/** Results of calls as such a model gets them. */
export function resultText(content: string): string {
  return `<tool_response>\n${content}\n</tool_response>`;
}
