import type { StructuralTagFormat } from '../../../grammar/index.js';
import type { ToolDefinition } from '../../types.js';
import type { OutputFormat, OutputParserOptions } from '../output-format.js';
import type { AnswerOutput } from './answer-output.js';
import { argumentsTag } from './call-tags.js';
import { createParser } from './create-format.js';
import type { Reading, TextInput } from './text-input.js';

const CHANNEL = '<|channel|>';
const MESSAGE = '<|message|>';
const START = '<|start|>';
const END = '<|end|>';
const CALL = '<|call|>';
const RETURN = '<|return|>';
const CONSTRAIN = '<|constrain|>';
const NEXT = `${START}assistant`;

/**
 * GPT-OSS's format: an answer is messages, each in a channel. `analysis` is reasoning, `final` the answer, and
 * `commentary` a call if it is addressed to a function, else what is said before calls.
 */
export const harmony: OutputFormat = {
  name: 'openai',
  markupTokens: [CHANNEL, MESSAGE, START, END, CALL, RETURN, CONSTRAIN],
  reasoning: { open: `${CHANNEL}analysis${MESSAGE}`, close: END },
  createParser: (options) => createParser(options, undefined, (input, output) => readMessages(input, output, options)),

  toolCallTag({ definitions, choice }) {
    const named = typeof choice === 'object' ? choice.name : undefined;
    const tools = definitions.filter(({ name }) => named === undefined || name === named);
    if (choice !== 'auto') return thenCalls(tools);
    return {
      type: 'triggered_tags',
      triggers: [TO],
      tags: tools.flatMap((tool) => HEADERS.map((header) => argumentsTag(`${TO}${tool.name}${header}`, tool, ''))),
      at_least_one: false,
      stop_after_first: true,
    };
  },

  formTag(form, promptEnd) {
    const answer: StructuralTagFormat = { type: 'tag', begin: `${CHANNEL}final${MESSAGE}`, content: form, end: '' };
    if (!promptEnd.endsWith(NEXT)) return form;
    return { type: 'or', elements: [answer, { type: 'sequence', elements: [message('analysis'), answer] }] };
  },
};

const TO = 'to=functions.';
/** Behind the recipient, which stands in the channel or before it. */
const HEADERS = [` ${CONSTRAIN}json${MESSAGE}`, `${CHANNEL}commentary json${MESSAGE}`];

/** A message, and the beginning of the next one. */
function message(channel: string): StructuralTagFormat {
  return { type: 'tag', begin: `${CHANNEL}${channel}${MESSAGE}`, content: { type: 'any_text' }, end: END + NEXT };
}

/** A call, and before it a message of reasoning or of text, or both. */
function thenCalls(tools: readonly ToolDefinition[]): Record<string, unknown> & StructuralTagFormat {
  const calls: StructuralTagFormat = {
    type: 'or',
    elements: tools.map((tool) => argumentsTag(`${CHANNEL}commentary ${TO}${tool.name}${HEADERS[0]}`, tool, '')),
  };
  const [reasoning, preamble] = [message('analysis'), message('commentary')];
  const ways = [[], [reasoning], [preamble], [reasoning, preamble]];
  return { type: 'or', elements: ways.map((before) => ({ type: 'sequence', elements: [...before, calls] })) };
}

/** What a message is, by its header: the text between `<|start|>` and `<|message|>`. */
type Kind = { type: 'text' | 'reasoning' | 'raw' } | { type: 'call'; name: string };

function kindOf(header: string, { tools, separateReasoning }: OutputParserOptions): Kind {
  const recipient = /\bto=([\w.-]+)/.exec(header)?.[1];
  const channel = /<\|channel\|>(\w+)/.exec(header)?.[1];
  if (recipient !== undefined && recipient !== 'assistant') {
    return tools.length > 0 ? { type: 'call', name: recipient.replace(/^functions\./, '') } : { type: 'raw' };
  }
  if (channel === 'analysis') return { type: separateReasoning ? 'reasoning' : 'raw' };
  return { type: 'text' };
}

const HEADER_MARKERS = [MESSAGE, START, END, CALL, RETURN];
const BODY_MARKERS = [START, END, CALL, RETURN, CHANNEL];

function* readMessages(input: TextInput, output: AnswerOutput, options: OutputParserOptions): Reading<void> {
  const seen = new Set<Kind['type']>();
  // The prompt ends with `<|start|>assistant`: what comes first is the rest of a header, or else text without any.
  let header = yield* readRecipient(input);
  if (header === undefined) output.text(input.release());
  while (true) {
    if (header === undefined) {
      const marker: string | undefined = yield* input.until([...BODY_MARKERS, MESSAGE], output.text);
      if (marker === undefined) return;
      if (marker === START || marker === CHANNEL) header = marker;
      continue;
    }
    const found: string | undefined = yield* input.until(HEADER_MARKERS, (text) => {
      header += text;
    });
    if (found !== MESSAGE) {
      output.text(header);
      if (found === undefined) return;
      header = found === START ? START : undefined;
      continue;
    }
    const kind = kindOf(header, options);
    // Messages that end up in one text are paragraphs of it.
    if (seen.has(kind.type) && kind.type === 'text') output.text('\n');
    if (seen.has(kind.type) && kind.type === 'reasoning') output.reasoning('\n');
    seen.add(kind.type);
    const marker = yield* readBody(input, output, kind, header);
    if (marker === undefined) return;
    header = marker === START || marker === CHANNEL ? marker : undefined;
  }
}

/** Takes ` to=`, which is held if it is not there. */
function* readRecipient(input: TextInput): Reading<string | undefined> {
  input.hold();
  yield* input.skipSpace();
  return (yield* input.accept('to=')) ? input.release() : undefined;
}

/** @returns the marker that ends the body */
function* readBody(input: TextInput, output: AnswerOutput, kind: Kind, header: string): Reading<string | undefined> {
  switch (kind.type) {
    case 'text':
      return yield* input.until(BODY_MARKERS, output.text);
    case 'reasoning':
      return yield* input.until(BODY_MARKERS, output.reasoning);
    case 'raw': {
      output.text(header + MESSAGE);
      const marker = yield* input.until(BODY_MARKERS, output.text);
      if (marker === END || marker === CALL) output.text(marker);
      return marker;
    }
    case 'call': {
      let isEmpty = true;
      output.startCall(kind.name);
      const marker = yield* input.until(BODY_MARKERS, (text) => {
        isEmpty = false;
        output.callArguments(text);
      });
      if (isEmpty && marker !== undefined) output.callArguments('{}');
      return marker;
    }
  }
}
