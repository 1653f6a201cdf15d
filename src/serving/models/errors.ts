/** A model could not be found, fetched, checked or re-encoded. `hint` says what the user can do about it. */
export class ModelResolveError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.hint = hint;
  }
}

/** The model is not on this machine and nobody was to be asked for it. */
export class NotInCacheError extends ModelResolveError {
  constructor(name: string) {
    super(`${name} is not in the cache`, `\`quire pull ${name}\` gets it.`);
  }
}
