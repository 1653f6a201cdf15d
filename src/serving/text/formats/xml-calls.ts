import type { StructuralTagFormat } from '../../../grammar/index.js';
import type { ToolDefinition } from '../../types.js';
import { argumentText } from './argument-text.js';
import { readArguments } from './call-object.js';
import type { CallSink, CallSyntax } from './call-syntax.js';
import { argumentsSchema, argumentsTag } from './call-tags.js';
import type { Reading, TextInput } from './text-input.js';

/** Markers of calls whose arguments are written one by one, as text. */
interface XmlMarkers {
  /** Around a call; '' where it stands by itself. */
  opener: string;
  closer: string;
  /** Between which the name stands. */
  nameBegin: string;
  nameEnd: string;
  callEnd: string;
  keyBegin: string;
  keyEnd: string;
  /** Left out: the value is what follows the key. */
  valueBegin?: string;
  valueEnd: string;
}

function createReader(markers: XmlMarkers): CallSyntax['read'] {
  return function* read(input, calls, opener) {
    while (true) {
      yield* input.skipSpace();
      const begins = opener === markers.nameBegin || (yield* input.accept(markers.nameBegin));
      if (!begins || !(yield* readCall(input, calls, markers)) || markers.callEnd === '') return;
      // Some write several into one pair of markers.
      opener = '';
      input.hold();
    }
  };
}

/** @returns whether the call is complete */
function* readCall(input: TextInput, calls: CallSink, markers: XmlMarkers): Reading<boolean> {
  let name = '';
  yield* input.takeWhile(
    (unit) => /[\w.-]/.test(unit),
    (text) => {
      name += text;
    },
  );
  if (name === '' || !(yield* input.accept(markers.nameEnd))) return false;
  yield* input.skipSpace();
  if ((yield* input.peek()) === '{') {
    calls.start(name);
    yield* readArguments(input, calls);
    input.hold();
    yield* input.skipSpace();
    if (yield* input.accept(markers.callEnd)) calls.markup();
    return true;
  }

  const { keyBegin, keyEnd, valueBegin, valueEnd, callEnd, closer } = markers;
  const given = new Set<string>();
  let started = false;
  while (yield* input.accept(keyBegin)) {
    const key = (yield* readUntil(input, keyEnd))?.trim();
    if (key === undefined) return false;
    if (valueBegin !== undefined) {
      yield* input.skipSpace();
      if (!(yield* input.accept(valueBegin))) return false;
    }
    const value = yield* readUntil(input, valueEnd);
    if (value === undefined) return false;
    if (!started) calls.start(name);
    started = true;
    // Whatever is written twice would make two members of one name.
    if (!given.has(key)) {
      const text = argumentText(value.replace(/^\n|\n$/g, ''), calls.tool(name), key);
      calls.arguments(`${given.size === 0 ? '{' : ', '}${JSON.stringify(key)}: ${text}`);
      given.add(key);
    }
    input.hold();
    yield* input.skipSpace();
  }
  const ends = callEnd === '' ? yield* input.accept(closer) : yield* input.accept(callEnd);
  if (!started) {
    if (!ends) return false;
    calls.start(name);
  }
  calls.arguments(given.size === 0 ? '{}' : '}');
  if (ends) calls.markup();
  return ends;
}

function* readUntil(input: TextInput, marker: string): Reading<string | undefined> {
  const parts: string[] = [];
  const found = yield* input.until([marker], (text) => parts.push(text));
  return found === undefined ? undefined : parts.join('');
}

const QWEN: XmlMarkers = {
  opener: '<tool_call>',
  closer: '</tool_call>',
  nameBegin: '<function=',
  nameEnd: '>',
  callEnd: '</function>',
  keyBegin: '<parameter=',
  keyEnd: '>',
  valueEnd: '</parameter>',
};

/** `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`: Qwen3-Coder and its kin. */
export const qwen3CoderCalls: CallSyntax = createQwenCalls('<tool_call>', '</tool_call>');

/** The same between markers of its own: Seed-OSS. */
export const seedCalls: CallSyntax = createQwenCalls('<seed:tool_call>', '</seed:tool_call>');

function createQwenCalls(opener: string, closer: string): CallSyntax {
  const markers = { ...QWEN, opener, closer };
  return {
    openers: [opener, QWEN.nameBegin],
    closers: [closer],
    markupTokens: [opener, closer],
    read: createReader(markers),
    tags: {
      triggers: [opener],
      separator: '\n',
      call: (tool) => ({
        type: 'tag',
        begin: `${opener}\n<function=${tool.name}>\n`,
        content: parameters(tool),
        end: `</function>\n${closer}`,
      }),
    },
  };
}

function parameters(tool: ToolDefinition): StructuralTagFormat {
  const schema = argumentsSchema(tool);
  const end: StructuralTagFormat = { type: 'const_string', value: '\n' };
  // XGrammar makes no grammar of a schema without properties.
  if (Object.keys(schema.properties ?? {}).length === 0) return { type: 'regex', pattern: '\\n?' };
  return { type: 'sequence', elements: [{ type: 'qwen_xml_parameter', json_schema: schema }, end] };
}

/** `<tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>`: GLM 4.5 and later. */
export const glmCalls: CallSyntax = {
  openers: ['<tool_call>'],
  closers: ['</tool_call>'],
  markupTokens: ['<tool_call>', '</tool_call>', '<arg_key>', '</arg_key>', '<arg_value>', '</arg_value>'],
  read: createReader({
    opener: '<tool_call>',
    closer: '</tool_call>',
    nameBegin: '',
    nameEnd: '',
    callEnd: '',
    keyBegin: '<arg_key>',
    keyEnd: '</arg_key>',
    valueBegin: '<arg_value>',
    valueEnd: '</arg_value>',
  }),
  tags: {
    triggers: ['<tool_call>'],
    separator: '\n',
    // Values are written by type there, which no schema of a grammar tells: the reader takes an object as well.
    call: (tool) => argumentsTag(`<tool_call>${tool.name}\n`, tool, '\n</tool_call>'),
  },
};

/** `<minimax:tool_call><invoke name="…"><parameter name="key">value</parameter></invoke></minimax:tool_call>`: MiniMax M2. */
export const minimaxCalls: CallSyntax = {
  openers: ['<minimax:tool_call>'],
  closers: ['</minimax:tool_call>'],
  markupTokens: ['<minimax:tool_call>', '</minimax:tool_call>'],
  read: createReader({
    opener: '<minimax:tool_call>',
    closer: '</minimax:tool_call>',
    nameBegin: '<invoke name="',
    nameEnd: '">',
    callEnd: '</invoke>',
    keyBegin: '<parameter name="',
    keyEnd: '">',
    valueEnd: '</parameter>',
  }),
  tags: {
    triggers: ['<minimax:tool_call>'],
    section: { begin: '<minimax:tool_call>\n', end: '\n</minimax:tool_call>' },
    separator: '\n',
    call: (tool) => argumentsTag(`<invoke name="${tool.name}">\n`, tool, '\n</invoke>'),
  },
};

/** `<function=name>{…}</function>`: Functionary 3.1. */
export const functionTagCalls: CallSyntax = {
  openers: [QWEN.nameBegin],
  closers: [],
  markupTokens: [],
  read: createReader({ ...QWEN, opener: '', closer: '' }),
  tags: {
    triggers: [QWEN.nameBegin],
    separator: '',
    call: (tool) => argumentsTag(`<function=${tool.name}>`, tool, '</function>'),
  },
};
