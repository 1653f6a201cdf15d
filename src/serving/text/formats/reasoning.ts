import type { StructuralTagFormat } from '../../../grammar/index.js';
import type { AnswerOutput } from './answer-output.js';
import type { Reading, TextInput } from './text-input.js';

/** What a model writes around what it thinks before it answers. */
export interface ReasoningSyntax {
  readonly open: string;
  readonly close: string;
  /** What it may write around the answer itself. */
  readonly answer?: { readonly open: string; readonly close: string };
}

/** Between any two turns of any template there is one of these. */
const TURN =
  /<[|｜][^<>]*[|｜]>|\[\/?INST\]|\[e~\[|<\/?s>|<seed:[be]os>|<(?:start|end)_of_turn>|<\/?turn\|?>|<\/(?:user|assistant)>/;

/**
 * Whether the prompt has begun the reasoning for the model. Someone may have written the marker in a message: then a
 * turn ends behind it.
 */
export function isReasoningOpen({ open, close }: Pick<ReasoningSyntax, 'open' | 'close'>, prompt: string): boolean {
  const start = prompt.lastIndexOf(open);
  if (start < 0) return false;
  const behind = prompt.slice(start + open.length);
  return !behind.includes(close) && !TURN.test(behind);
}

/**
 * Reads the reasoning at the beginning of an answer, if there is any.
 *
 * @param separate Else the reasoning is text, with its markup: but still not looked into for calls.
 * @returns what ends the answer, where it stands between markers
 */
export function* readReasoning(
  syntax: ReasoningSyntax,
  input: TextInput,
  output: AnswerOutput,
  isOpen: boolean,
  separate: boolean,
): Reading<string | undefined> {
  const { open, close, answer } = syntax;
  input.hold();
  yield* input.skipSpace();
  // Some models open once more what the prompt has opened already.
  const opens = yield* input.accept(open);
  const markup = input.release();
  if (!separate) {
    output.text(markup);
    if (!opens && !isOpen) return undefined;
    const closed = yield* input.until([close], output.text);
    output.text(closed ?? '');
    return undefined;
  }
  let space = markup;
  if (opens || isOpen) {
    output.startReasoning();
    if (!opens) output.reasoning(markup);
    const closed = yield* input.until([close], output.reasoning);
    if (closed === undefined) return undefined;
    output.endReasoning();
    space = '';
  }
  if (answer === undefined) {
    output.text(space);
    return undefined;
  }
  input.hold();
  yield* input.skipSpace();
  const opensAnswer = yield* input.accept(answer.open);
  const held = input.release();
  if (!opensAnswer) output.text(space + held);
  return opensAnswer ? answer.close : undefined;
}

/** An answer of `format` with reasoning before it, where the prompt leaves that to the model. */
export function withReasoning(
  { open, close }: ReasoningSyntax,
  format: StructuralTagFormat,
  prompt: string,
): StructuralTagFormat {
  const isOpen = isReasoningOpen({ open, close }, prompt);
  const space: StructuralTagFormat = { type: 'regex', pattern: '[ \\n]{0,4}' };
  const reasoned: StructuralTagFormat = {
    type: 'sequence',
    elements: [{ type: 'tag', begin: isOpen ? '' : open, content: { type: 'any_text' }, end: close }, space, format],
  };
  if (isOpen) return reasoned;
  return prompt.trimEnd().endsWith(close) ? format : { type: 'or', elements: [reasoned, format] };
}
