import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argumentText } from '../../src/serving/text/formats/argument-text.js';
import { readJson } from '../../src/serving/text/formats/json-reader.js';
import { PYTHON, readLiteral } from '../../src/serving/text/formats/literal-reader.js';
import { isReasoningOpen } from '../../src/serving/text/formats/reasoning.js';
import { createTextInput, type Reading, type TextInput } from '../../src/serving/text/formats/text-input.js';

/** What `read` returns of a text that comes in pieces of `size`, and what it leaves of it. */
function readIn<T>(text: string, size: number, read: (input: TextInput) => Reading<T>): { value: T; rest: string } {
  const input = createTextInput();
  let value: T | undefined;
  let rest = '';
  const reading = (function* (): Reading<void> {
    value = yield* read(input);
    yield* input.until([], (piece) => {
      rest += piece;
    });
  })();
  for (let at = 0; at < text.length; at += size) {
    input.append(text.slice(at, at + size));
    reading.next();
  }
  input.end();
  reading.next();
  return { value: value as T, rest };
}

/** As Python writes it. */
function pythonic(value: unknown): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string')
    return `'${JSON.stringify(value).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
  if (Array.isArray(value)) return `[${value.map(pythonic).join(', ')}]`;
  if (typeof value === 'object') {
    return `{${Object.entries(value)
      .map(([key, part]) => `${pythonic(key)}: ${pythonic(part)}`)
      .join(', ')}}`;
  }
  return JSON.stringify(value);
}

const size = fc.integer({ min: 1, max: 20 });

describe('a JSON value', () => {
  it('ends where it ends, whatever is in it and follows it', () => {
    const container = fc.oneof(fc.array(fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue()), fc.string());
    const layout = fc.constantFrom(undefined, 2);
    fc.assert(
      fc.property(
        container,
        layout,
        fc.constantFrom('', '}', ', "x"', '</a>', ' {'),
        size,
        (value, indent, rest, size) => {
          const text = JSON.stringify(value, null, indent);
          let given = '';
          const take = (piece: string): void => {
            given += piece;
          };
          const result = readIn(text + rest, size, (input) => readJson(input, take));
          expect({ ...result, given }).toEqual({ value: true, rest, given: text });
        },
      ),
    );
  });

  it('ends before markup that cuts it off, but not inside of its strings', () => {
    expect(readIn('{"a": 1</x>', 3, (input) => readJson(input, () => {}))).toEqual({ value: false, rest: '</x>' });
    expect(readIn('{"a": "</x>"}', 3, (input) => readJson(input, () => {}))).toEqual({ value: true, rest: '' });
  });
});

describe('a literal of Python', () => {
  it('becomes the JSON that it stands for', () => {
    fc.assert(
      fc.property(fc.jsonValue(), size, fc.boolean(), (value, size, asJson) => {
        const plain = JSON.parse(JSON.stringify(value)) as unknown;
        const text = asJson ? JSON.stringify(plain) : pythonic(plain);
        const { value: json, rest } = readIn(`${text})`, size, (input) => readLiteral(input, PYTHON));
        expect(JSON.parse(json ?? '')).toEqual(plain);
        expect(rest).toBe(')');
      }),
    );
  });

  it('may be a tuple, a word or have escapes of its own, but not any text', () => {
    const read = (text: string) => readIn(text, 2, (input) => readLiteral(input, PYTHON)).value;
    expect(read("(1, 'a', None,)")).toBe('[1, "a", null]');
    expect(read("'\\x41\\u00e9\\q\\''")).toBe('"Aé\\\\q\'"');
    expect(read('{a: 1}')).toBe('{"a": 1}');
    for (const text of ['city', '[1 2]', "'open", '{1, 2}', '01', `${'['.repeat(101)}`, ''])
      expect(read(text)).toBeUndefined();
  });
});

describe('an argument without a type', () => {
  const tool = {
    name: 'f',
    parameters: {
      properties: {
        text: { type: 'string' },
        count: { type: ['integer', 'null'] },
        either: { anyOf: [{ type: 'boolean' }, { type: 'string' }] },
        level: { enum: ['1', '2'] },
      },
    },
  };
  it.each([
    ['text', '12', '"12"'],
    ['text', '"quoted"', '"\\"quoted\\""'],
    ['count', ' 12 ', '12'],
    ['count', 'None', 'null'],
    ['count', '1.5', '"1.5"'],
    ['count', 'many', '"many"'],
    ['either', 'True', 'true'],
    ['either', '12', '"12"'],
    ['level', '1', '"1"'],
    ['unknown', '[1]', '[1]'],
    ['unknown', 'a "b"', '"a \\"b\\""'],
    ['constructor', '12', '12'],
  ])('is what the schema says: %s of %j', (name, text, json) => {
    expect(argumentText(text, tool, name)).toBe(json);
  });
});

describe('reasoning that the prompt has begun', () => {
  const think = { open: '<think>', close: '</think>' };
  it.each([
    ['<|im_start|>assistant\n<think>\n', true],
    ['<|im_start|>assistant\n<think>\n\n</think>\n\n', false],
    ['<|im_start|>assistant\n<think>\nFirst, I', true],
    ['[INST] What is <think>? [/INST]', false],
    ['<bos><start_of_turn>user\n<think><end_of_turn>\n<start_of_turn>model\n', false],
    ['<｜User｜>a <think> tag<｜Assistant｜>', false],
    ['[e~[\n]~b]user\n<think>[e~[\n]~b]ai\n', false],
    ['', false],
  ])('is told by %j', (prompt, isOpen) => {
    expect(isReasoningOpen(think, prompt)).toBe(isOpen);
  });
});
