import type { StructuralTagFormat } from '../../grammar/index.js';
import type { ToolCallDelta, ToolDefinition, ToolUse } from '../types.js';

/** What a piece of generated text was. */
export interface ParsedText {
  /** The answer itself. */
  text: string;
  /** What the model thinks before it answers. */
  reasoning: string;
  toolCalls: ToolCallDelta[];
}

/**
 * Takes one choice's text apart as it comes, whatever the pieces are: all `push` results and `finish` together are the
 * same for every way of cutting a text. What may still become markup is held back, and what turned out to be none is
 * given out as text. Broken markup is text, too: a parser never throws and never loses a character of an answer.
 */
export interface OutputParser {
  push(text: string): ParsedText;
  /** What is held back, once no more text will come. */
  finish(): ParsedText;
}

export interface OutputParserOptions {
  /** The tools that may be called; none: markup of calls is text. */
  tools: readonly ToolDefinition[];
  /** Whether to tell reasoning from text. */
  separateReasoning: boolean;
  /** The rendered prompt up to where the answer begins: it may have opened the reasoning already. */
  promptEnd: string;
  /** Makes the ids of calls; left out: random ones of the format's own kind. */
  createCallId?: () => string;
}

/** How the models of one family write reasoning and tool calls. */
export interface OutputFormat {
  /** As vLLM calls its parser of this format where it has one: `hermes`, `llama3_json`, `mistral`, … */
  readonly name: string;
  /** Texts of special tokens that are markup, and so have to be in the text that a parser gets. */
  readonly markupTokens: readonly string[];
  /** What stands around the model's thoughts. */
  readonly reasoning: { readonly open: string; readonly close: string };
  createParser(options: OutputParserOptions): OutputParser;
  /**
   * XGrammar's structural tag (its `format`) of answers that call tools as they should: with arguments that match their
   * schema; free text, reasoning included, where the choice allows it.
   * @param promptEnd see {@link OutputParserOptions}
   */
  toolCallTag(tools: ToolUse, promptEnd: string): Record<string, unknown>;
  /**
   * XGrammar's structural tag (its `format`) of answers that have a form: with what the model writes around it,
   * reasoning included; the form alone where that is nothing.
   * @param promptEnd see {@link OutputParserOptions}
   */
  formTag(form: StructuralTagFormat, promptEnd: string): StructuralTagFormat;
}
