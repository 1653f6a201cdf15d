import type { Reading, TextInput } from './text-input.js';

/** Outside of strings, what no JSON has, but markup around it begins or ends with. */
const MARKUP = /[<`]/;

/**
 * Takes a JSON value, nothing before or after it. Brackets and strings are all it looks at: a model's slips inside are
 * for whoever uses the value.
 *
 * @param sink Gets the text as it comes.
 * @returns false when the text ends, or markup comes, before the value is complete; or no value begins here
 */
export function* readJson(input: TextInput, sink: (text: string) => void): Reading<boolean> {
  const first = yield* input.peek();
  if (first === undefined || !/[{["'\-\w]/.test(first)) return false;
  if (!/[{["']/.test(first)) {
    yield* input.takeWhile((unit) => /[\w+\-.]/.test(unit), sink);
    return true;
  }

  let depth = 0;
  /** The quotation mark that ends the string; models that think in Python write single ones, too. */
  let quote = '';
  let escaped = false;
  let complete = false;
  yield* input.takeWhile((unit) => {
    if (complete) return false;
    if (quote !== '') {
      if (escaped) escaped = false;
      else if (unit === '\\') escaped = true;
      else if (unit === quote) quote = '';
    } else {
      if (MARKUP.test(unit)) return false;
      if (unit === '"' || unit === "'") quote = unit;
      else if (unit === '{' || unit === '[') depth += 1;
      else if (unit === '}' || unit === ']') depth -= 1;
    }
    complete = depth === 0 && quote === '';
    return true;
  }, sink);
  return complete;
}

/** Takes a JSON string. @returns what it stands for; undefined when there is none, or a broken one */
export function* readJsonString(input: TextInput): Reading<string | undefined> {
  if ((yield* input.peek()) !== '"') return undefined;
  const parts: string[] = [];
  const complete = yield* readJson(input, (text) => parts.push(text));
  const value = complete ? parseJson(parts.join('')) : undefined;
  return typeof value === 'string' ? value : undefined;
}

/** @returns undefined when `text` is not JSON */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
