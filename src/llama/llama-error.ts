/** llama.cpp refused or failed. `message` carries what it logged as the reason; `hint` says what the user can do next. */
export class LlamaError extends Error {
  readonly hint?: string;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = 'LlamaError';
    if (hint !== undefined) this.hint = hint;
  }
}
