import type { ToolDefinition } from '../../types.js';
import type { CallTags } from './call-tags.js';
import type { Reading, TextInput } from './text-input.js';

/** How one family of models writes tool calls. */
export interface CallSyntax {
  /** What markup of calls begins with, anywhere in the text; none contains another. */
  readonly openers: readonly string[];
  /** What ends it. */
  readonly closers: readonly string[];
  /** Texts of special tokens among the markup. */
  readonly markupTokens: readonly string[];
  /**
   * Reads what follows an opener. What it has taken and not given to `calls` when it returns is text: it returns where
   * markup ends, or where it turns out to be none.
   */
  read(input: TextInput, calls: CallSink, opener: string): Reading<void>;
  /** Reads a call that stands without any opener at the very beginning of an answer. */
  readBare?(input: TextInput, calls: CallSink): Reading<void>;
  readonly tags: CallTags;
}

/** Where a {@link CallSyntax} puts what it reads. */
export interface CallSink {
  /** A call for certain: what was taken so far was its markup. */
  start(name: string): void;
  /** JSON text that goes on with the arguments of the call. */
  arguments(text: string): void;
  /** What was taken so far was markup. */
  markup(): void;
  /** What is not markup in the midst of it. */
  text(text: string): void;
  tool(name: string): ToolDefinition | undefined;
}
