import { readArguments, readCallList } from './call-object.js';
import type { CallSyntax } from './call-syntax.js';
import { argumentsTag } from './call-tags.js';
import { createListCalls } from './list-calls.js';

const OPENER = '[TOOL_CALLS]';
const ID = '[CALL_ID]';
const ARGUMENTS = '[ARGS]';

const listCalls = createListCalls(OPENER);

/** `[TOOL_CALLS][{…}, {…}]` of the older tokenizers, and `[TOOL_CALLS]name[ARGS]{…}` of the newer ones. */
export const mistralListCalls: CallSyntax = {
  ...listCalls,
  markupTokens: [OPENER, ID, ARGUMENTS],

  *read(input, calls) {
    yield* input.skipSpace();
    const first = yield* input.peek();
    if (first === '[' || first === '{') {
      yield* readCallList(input, calls);
      return;
    }
    const name: string[] = [];
    yield* input.takeWhile(
      (unit) => /[\w.-]/.test(unit),
      (text) => name.push(text),
    );
    if (yield* input.accept(ID)) {
      yield* input.takeWhile(
        (unit) => /\w/.test(unit),
        () => {},
      );
    }
    yield* input.accept(ARGUMENTS);
    yield* input.skipSpace();
    if (name.length === 0 || (yield* input.peek()) !== '{') return;
    calls.start(name.join(''));
    yield* readArguments(input, calls);
  },
};

export const mistralCalls: CallSyntax = {
  ...mistralListCalls,
  tags: {
    triggers: [OPENER],
    separator: '',
    call: (tool) => argumentsTag(`${OPENER}${tool.name}${ARGUMENTS}`, tool, ''),
  },
};
