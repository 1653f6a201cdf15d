import { readCallObject } from './call-object.js';
import type { CallSink, CallSyntax } from './call-syntax.js';
import { objectTag } from './call-tags.js';
import { PYTHON, readLiteral } from './literal-reader.js';
import type { Reading, TextInput } from './text-input.js';

const OPENER = '<|tool_call_start|>';
const CLOSER = '<|tool_call_end|>';

/**
 * `[name(key="value", other=1), …]`, as LFM2 writes it between markers, and as all of an answer without any. Grammars do
 * not know Python's literals: where calls are enforced they are JSON objects, which LFM2 writes as well.
 */
export const pythonicCalls: CallSyntax = {
  openers: [OPENER],
  closers: [CLOSER],
  markupTokens: [OPENER, CLOSER],
  *read(input, calls) {
    yield* input.skipSpace();
    yield* readPythonCalls(input, calls, false);
  },
  *readBare(input, calls) {
    yield* input.skipSpace();
    if ((yield* input.peek()) === '[') yield* readPythonCalls(input, calls, true);
  },
  tags: {
    triggers: [OPENER],
    section: { begin: `${OPENER}[`, end: `]${CLOSER}` },
    separator: ', ',
    call: (tool) => objectTag(tool, 'arguments'),
  },
};

/** @param bare Without markup, a list of anything but calls of known tools is text. */
function* readPythonCalls(input: TextInput, calls: CallSink, bare: boolean): Reading<void> {
  const isList = yield* input.accept('[');
  for (let count = 0; ; count += 1) {
    yield* input.skipSpace();
    if (isList && count > 0 && (yield* input.accept(']'))) {
      calls.markup();
      return;
    }
    const isObject = (yield* input.peek()) === '{';
    if (!(yield* isObject ? readCallObject(input, calls, bare) : readPythonCall(input, calls, bare))) return;
    input.hold();
    yield* input.skipSpace();
    if (!(yield* input.accept(',')) && !isList) return;
  }
}

/** Takes `name(key=value, …)`; arguments are given out one by one. @returns whether it is a call, and complete */
function* readPythonCall(input: TextInput, calls: CallSink, bare: boolean): Reading<boolean> {
  let name = '';
  yield* input.takeWhile(
    (unit) => /[\w.-]/.test(unit),
    (text) => {
      name += text;
    },
  );
  if (name === '' || (bare && calls.tool(name) === undefined) || !(yield* input.accept('('))) return false;
  calls.start(name);
  for (let count = 0; ; count += 1) {
    input.hold();
    yield* input.skipSpace();
    if (yield* input.accept(')')) {
      calls.arguments(count === 0 ? '{}' : '}');
      return true;
    }
    let key = '';
    yield* input.takeWhile(
      (unit) => /\w/.test(unit),
      (text) => {
        key += text;
      },
    );
    yield* input.skipSpace();
    if (key === '' || !(yield* input.accept('='))) return false;
    const value = yield* readLiteral(input, PYTHON);
    if (value === undefined) return false;
    calls.markup();
    calls.arguments(`${count === 0 ? '{' : ', '}${JSON.stringify(key)}: ${value}`);
    yield* input.skipSpace();
    if (!(yield* input.accept(',')) && (yield* input.peek()) !== ')') return false;
  }
}
