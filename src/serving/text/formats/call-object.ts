import type { CallSink } from './call-syntax.js';
import { parseJson, readJson, readJsonString } from './json-reader.js';
import type { Reading, TextInput } from './text-input.js';

const NAME_KEYS = new Set(['name', 'tool_name']);
const ARGUMENTS_KEYS = new Set(['arguments', 'parameters']);
const OTHER_KEYS = new Set(['type', 'id', 'tool_call_id']);

/**
 * Reads `{"name": …, "arguments": {…}}`, in any order, with `parameters` in place of `arguments`, and possibly inside
 * `{"function": …}`. Arguments are given out as they come once the name is known; other members mean nothing.
 *
 * @param bare Without markup around it, an object that names no tool, or has members that calls have not, is an answer
 * in JSON.
 * @returns whether the object is a call, and complete
 */
export function* readCallObject(input: TextInput, calls: CallSink, bare = false): Reading<boolean> {
  if (!(yield* input.accept('{'))) return false;
  let name: string | undefined;
  let early: string | undefined;
  let started = false;

  while (true) {
    yield* input.skipSpace();
    if (yield* input.accept('}')) break;
    const key = yield* readJsonString(input);
    if (key === undefined) return false;
    yield* input.skipSpace();
    if (!(yield* input.accept(':'))) return false;
    yield* input.skipSpace();

    if (name === undefined && NAME_KEYS.has(key)) {
      name = yield* readJsonString(input);
      if (!name || (bare && calls.tool(name) === undefined)) return false;
    } else if (!started && early === undefined && ARGUMENTS_KEYS.has(key)) {
      if (name === undefined) {
        const parts: string[] = [];
        if (!(yield* readJson(input, (text) => parts.push(text)))) return false;
        early = parts.join('');
      } else {
        if ((yield* input.peek()) === undefined) return false;
        calls.start(name);
        started = true;
        if (!(yield* readArguments(input, calls))) return false;
      }
    } else if (key === 'function' && !started && name === undefined && (yield* input.peek()) === '{') {
      if (!(yield* readCallObject(input, calls, bare))) return false;
      started = true;
    } else if ((bare && !OTHER_KEYS.has(key)) || !(yield* readJson(input, () => {}))) {
      return false;
    }

    yield* input.skipSpace();
    if (!(yield* input.accept(',')) && (yield* input.peek()) !== '}') return false;
  }

  if (started) return true;
  if (name === undefined) return false;
  calls.start(name);
  calls.arguments(argumentsText(early ?? '{}'));
  return true;
}

/** Reads the value that is a call's arguments. @returns whether it is complete */
export function* readArguments(input: TextInput, calls: CallSink): Reading<boolean> {
  if ((yield* input.peek()) === '{') return yield* readJson(input, calls.arguments);
  const parts: string[] = [];
  const complete = yield* readJson(input, (text) => parts.push(text));
  calls.arguments(argumentsText(parts.join('')));
  return complete;
}

/** Some models write the object as a string, as OpenAI's API has it, or `null` for none. */
function argumentsText(json: string): string {
  if (json === 'null') return '{}';
  const value = json.startsWith('"') ? parseJson(json) : undefined;
  const inner = typeof value === 'string' ? value.trim() : '';
  return inner.startsWith('{') ? inner : json;
}

/** Reads calls as a list, or one behind the other without a list. @returns whether all of it was calls */
export function* readCallList(input: TextInput, calls: CallSink, bare = false): Reading<boolean> {
  if (!(yield* input.accept('['))) {
    do {
      if (!(yield* readCallObject(input, calls, bare))) return false;
      input.hold();
      yield* input.skipSpace();
    } while ((yield* input.peek()) === '{');
    return true;
  }
  for (let count = 0; ; count += 1) {
    yield* input.skipSpace();
    if (count > 0 && (yield* input.accept(']'))) {
      calls.markup();
      return true;
    }
    if (!(yield* readCallObject(input, calls, bare))) return false;
    input.hold();
    yield* input.skipSpace();
    yield* input.accept(',');
  }
}
