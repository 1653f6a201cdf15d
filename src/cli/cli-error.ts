/** Ends a command with one line for the user, an optional line of advice, and an exit code. */
export class CliError extends Error {
  readonly hint: string | undefined;
  /** 2: the command line is wrong; 1: anything else. */
  readonly exitCode: 1 | 2;

  constructor(message: string, options: { hint?: string | undefined; exitCode?: 1 | 2; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'CliError';
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 1;
  }
}

/** The lines to show for whatever a command threw: the message, and the `hint` that Quire's errors carry. */
export function describeError(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  const hint = error instanceof Error && 'hint' in error && typeof error.hint === 'string' ? error.hint : undefined;
  return hint === undefined ? `quire: ${message}\n` : `quire: ${message}\n  ${hint.replaceAll('\n', '\n  ')}\n`;
}
