import { readCallList } from './call-object.js';
import type { CallSyntax } from './call-syntax.js';
import { argumentsTag, objectTag } from './call-tags.js';

/**
 * A list of objects with name and arguments behind one marker: `functools[{…}, {…}]`, `<|tool_call|>[{…}]` and the like.
 *
 * @param closer What follows the list; '' where nothing does.
 */
export function createListCalls(opener: string, closer = ''): CallSyntax {
  const closers = closer === '' ? [] : [closer];
  return {
    openers: [opener],
    closers,
    markupTokens: [opener, ...closers],
    *read(input, calls) {
      yield* input.skipSpace();
      yield* readCallList(input, calls);
    },
    tags: {
      triggers: [opener],
      section: { begin: `${opener}[`, end: `]${closer}` },
      separator: ', ',
      call: (tool) => objectTag(tool, 'arguments'),
    },
  };
}

/** `<|START_ACTION|>[{"tool_call_id": …, "tool_name": …, "parameters": {…}}]<|END_ACTION|>`: Command R7B and later. */
export const cohereCalls: CallSyntax = withCohereTags(createListCalls('<|START_ACTION|>', '<|END_ACTION|>'));

function withCohereTags(calls: CallSyntax): CallSyntax {
  return {
    ...calls,
    tags: {
      ...calls.tags,
      call: (tool) =>
        argumentsTag(`{"tool_call_id": "0", "tool_name": ${JSON.stringify(tool.name)}, "parameters": `, tool, '}'),
    },
  };
}
