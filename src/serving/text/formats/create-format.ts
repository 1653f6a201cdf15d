import type { StructuralTagFormat } from '../../../grammar/index.js';
import type { OutputFormat, OutputParser, OutputParserOptions } from '../output-format.js';
import { type AnswerOutput, createAnswerOutput, createCallId } from './answer-output.js';
import type { CallSink, CallSyntax } from './call-syntax.js';
import { callsFormat } from './call-tags.js';
import { isReasoningOpen, type ReasoningSyntax, readReasoning, withReasoning } from './reasoning.js';
import { createTextInput, type Reading, type TextInput } from './text-input.js';

export interface FormatParts {
  name: string;
  calls: CallSyntax;
  reasoning: ReasoningSyntax;
  /** The model is known to think, even where the prompt does not begin that for it. */
  reasons: boolean;
  /** Default: as OpenAI's. */
  createCallId?: () => string;
}

/** A format whose answers are reasoning, then text with calls in it. */
export function createFormat({ name, calls, reasoning, reasons, ...ids }: FormatParts): OutputFormat {
  return {
    name,
    markupTokens: markupTokens(reasoning, calls),
    reasoning,
    createParser: (options) =>
      createParser(options, ids.createCallId, (input, output) => readAnswer(input, output, reasoning, calls, options)),
    toolCallTag: (tools, promptEnd) => ({ ...withReasoning(reasoning, callsFormat(calls.tags, tools), promptEnd) }),
    formTag: (form, promptEnd) =>
      reasons || isReasoningOpen(reasoning, promptEnd)
        ? withReasoning(reasoning, inAnswer(reasoning, form), promptEnd)
        : form,
  };
}

/** A form with what the model may write around its answer. */
function inAnswer({ answer }: ReasoningSyntax, form: StructuralTagFormat): StructuralTagFormat {
  if (answer === undefined) return form;
  return { type: 'or', elements: [{ type: 'tag', begin: answer.open, content: form, end: answer.close }, form] };
}

function markupTokens({ open, close, answer }: ReasoningSyntax, calls: CallSyntax): string[] {
  return [...new Set([open, close, ...(answer ? [answer.open, answer.close] : []), ...calls.markupTokens])];
}

/** Runs a routine that reads the whole of an answer. */
export function createParser(
  options: OutputParserOptions,
  createId: (() => string) | undefined,
  read: (input: TextInput, output: AnswerOutput) => Reading<void>,
): OutputParser {
  const input = createTextInput();
  const output = createAnswerOutput(options.createCallId ?? createId ?? createCallId, options.tools.length > 0);
  const reading = read(input, output);
  return {
    push(text) {
      input.append(text);
      reading.next();
      return output.take();
    },
    finish() {
      input.end();
      reading.next();
      output.end();
      return output.take();
    },
  };
}

function* readAnswer(
  input: TextInput,
  output: AnswerOutput,
  reasoning: ReasoningSyntax,
  syntax: CallSyntax,
  { tools, promptEnd, separateReasoning }: OutputParserOptions,
): Reading<void> {
  const isOpen = isReasoningOpen(reasoning, promptEnd);
  const answerEnd = yield* readReasoning(reasoning, input, output, isOpen, separateReasoning);
  const dropped = answerEnd === undefined ? [] : [answerEnd];

  let started = false;
  const calls: CallSink = {
    start(name) {
      input.release();
      started = true;
      output.startCall(name);
    },
    arguments: output.callArguments,
    markup: () => input.release(),
    text: output.text,
    tool: (name) => tools.find((tool) => tool.name === name),
  };

  if (tools.length > 0 && syntax.readBare !== undefined) {
    input.hold();
    yield* syntax.readBare(input, calls);
    output.text(input.release());
  }
  const markers = tools.length === 0 ? dropped : [...syntax.openers, ...dropped];
  while (true) {
    const opener = yield* input.until(markers, output.text);
    if (opener === undefined) return;
    if (opener === answerEnd) continue;
    started = false;
    input.hold();
    yield* syntax.read(input, calls, opener);
    if (started) yield* readCloser(input, calls, syntax.closers);
    const rest = input.release();
    output.text(started ? rest : opener + rest);
  }
}

/** Brackets too many behind a call are a slip that models often make, and no text. */
function* readCloser(input: TextInput, calls: CallSink, closers: readonly string[]): Reading<void> {
  input.hold();
  yield* input.takeWhile(
    (unit) => /[\s}\]]/.test(unit),
    () => {},
  );
  for (const closer of closers) {
    if (yield* input.accept(closer)) {
      calls.markup();
      return;
    }
  }
}
