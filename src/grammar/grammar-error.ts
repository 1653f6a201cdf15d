/** What was asked for cannot be made into a grammar. */
export class GrammarError extends Error {
  /** Where in it, as `.properties.a[0]`; '' when it is about the whole. */
  readonly path: string;

  constructor(message: string, path = '') {
    super(message);
    this.name = new.target.name;
    this.path = path;
  }
}
