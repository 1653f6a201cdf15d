import { readCallList } from './call-object.js';
import type { CallSink } from './call-syntax.js';
import type { Reading, TextInput } from './text-input.js';

/**
 * Reads an answer that is nothing but calls, written as JSON without markup, or as a block of code. Calls are separated
 * by `;` as Llama does it, by commas or line breaks.
 */
export function* readBareCalls(input: TextInput, calls: CallSink): Reading<void> {
  yield* input.skipSpace();
  const fenced = yield* input.accept('```');
  if (fenced) {
    yield* input.accept('json');
    yield* input.skipSpace();
  }
  let called = false;
  while (yield* readCallList(input, calls, true)) {
    called = true;
    input.hold();
    yield* input.takeWhile(
      (unit) => /[\s;,]/.test(unit),
      () => {},
    );
    const next = yield* input.peek();
    if (next !== '{' && next !== '[') break;
  }
  if (called && fenced && (yield* input.accept('```'))) calls.markup();
}
