import { readCallList } from './call-object.js';
import type { CallSyntax } from './call-syntax.js';
import { objectTag } from './call-tags.js';

/**
 * `<tool_call>{"name": …, "arguments": {…}}</tool_call>`, once for each call: Hermes, Qwen 2.5 and 3, Granite 4 and
 * many others.
 */
export const hermesCalls: CallSyntax = {
  openers: ['<tool_call>'],
  closers: ['</tool_call>'],
  markupTokens: ['<tool_call>', '</tool_call>'],

  *read(input, calls) {
    yield* input.skipSpace();
    yield* readCallList(input, calls);
  },

  tags: {
    triggers: ['<tool_call>'],
    separator: '\n',
    call(tool) {
      const { begin, content, end } = objectTag(tool, 'arguments');
      return { type: 'tag', begin: `<tool_call>\n${begin}`, content, end: `${end}\n</tool_call>` };
    },
  },
};
