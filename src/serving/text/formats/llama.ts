import { readBareCalls } from './bare-calls.js';
import { readCallList } from './call-object.js';
import type { CallSyntax } from './call-syntax.js';
import { objectTag } from './call-tags.js';

/**
 * `{"name": …, "parameters": {…}}` as all of an answer, with or without `<|python_tag|>` before it, several separated by
 * `;`: Llama 3.1 to 3.3.
 */
export const llamaCalls: CallSyntax = {
  openers: ['<|python_tag|>'],
  closers: [],
  markupTokens: ['<|python_tag|>'],
  readBare: readBareCalls,

  *read(input, calls) {
    do {
      yield* input.skipSpace();
      if (!(yield* readCallList(input, calls))) return;
      input.hold();
      yield* input.skipSpace();
    } while (yield* input.accept(';'));
  },

  tags: {
    triggers: ['{"name": "'],
    separator: '; ',
    call: (tool) => objectTag(tool, 'parameters'),
  },
};
