/** The page memory or its kernel cannot be set up, or was used wrongly. */
export class AttentionError extends Error {
  /** What the user can do about it, if anything. */
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = new.target.name;
    this.hint = hint;
  }
}
