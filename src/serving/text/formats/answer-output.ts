import { randomBytes } from 'node:crypto';
import type { ToolCallDelta } from '../../types.js';
import type { ParsedText } from '../output-format.js';

/** Where a parser puts what it has found; `take` hands out what came since the last time. */
export interface AnswerOutput {
  text(text: string): void;
  reasoning(text: string): void;
  /** Line breaks around reasoning belong to the markup: those that come next are dropped, unless they end it all. */
  startReasoning(): void;
  endReasoning(): void;
  startCall(name: string): void;
  /** JSON text that goes on with the arguments of the last call. */
  callArguments(text: string): void;
  /** What was held back as it may have belonged to the markup. */
  end(): void;
  take(): ParsedText;
}

/**
 * Text with white space around calls and reasoning taken off: it separates them from text and from each other.
 *
 * @param mayCall Whether white space may turn out to stand before a call.
 */
export function createAnswerOutput(createCallId: () => string, mayCall: boolean): AnswerOutput {
  let given: ParsedText = { text: '', reasoning: '', toolCalls: [] };
  let calls = 0;
  /** White space that may stand before a call or the end of reasoning. */
  let heldText = '';
  let heldReasoning = '';
  /** Behind markup, where white space belongs to it. */
  let skipsSpace = false;

  function addCall(delta: ToolCallDelta): void {
    const last = given.toolCalls.at(-1);
    if (last?.index === delta.index) last.arguments += delta.arguments;
    else given.toolCalls.push(delta);
  }

  return {
    text(text) {
      const rest = skipsSpace ? text.trimStart() : text;
      if (rest === '') return;
      skipsSpace = false;
      const all = heldText + rest;
      const end = mayCall ? all.trimEnd().length : all.length;
      given.text += all.slice(0, end);
      heldText = all.slice(end);
    },

    reasoning(text) {
      const rest = skipsSpace ? text.replace(/^[\r\n]+/, '') : text;
      if (rest === '') return;
      skipsSpace = false;
      const all = heldReasoning + rest;
      const end = all.replace(/[\r\n]+$/, '').length;
      given.reasoning += all.slice(0, end);
      heldReasoning = all.slice(end);
    },

    startReasoning() {
      skipsSpace = true;
    },

    endReasoning() {
      heldReasoning = '';
      skipsSpace = true;
    },

    startCall(name) {
      heldText = '';
      skipsSpace = true;
      addCall({ index: calls, id: createCallId(), name, arguments: '' });
      calls += 1;
    },

    callArguments(text) {
      addCall({ index: calls - 1, arguments: text });
    },

    end() {
      given.text += heldText;
      given.reasoning += heldReasoning;
      heldText = '';
      heldReasoning = '';
    },

    take() {
      const taken = given;
      given = { text: '', reasoning: '', toolCalls: [] };
      return taken;
    },
  };
}

/** As OpenAI's look. */
export function createCallId(): string {
  return `call_${randomText(24)}`;
}

/** Nine letters and digits: Mistral's templates refuse others. */
export function createMistralCallId(): string {
  return randomText(9);
}

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';

function randomText(length: number): string {
  return Array.from(randomBytes(length), (byte) => LETTERS[byte % LETTERS.length]).join('');
}
