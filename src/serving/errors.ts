/**
 * Errors a client can cause, or has to know of. `api/` turns each into an HTTP status and an OpenAI-shaped body in one
 * place; nothing else in the code knows about HTTP.
 */

/** Something in the request is wrong and the client can mend it. */
export class RequestError extends Error {
  /** The request field at fault, in the protocol's own spelling, or null. */
  readonly param: string | null;
  /** Machine-readable cause, e.g. `context_length_exceeded`. */
  readonly code: string | null;

  constructor(message: string, options: { param?: string | null; code?: string | null } = {}) {
    super(message);
    this.name = new.target.name;
    this.param = options.param ?? null;
    this.code = options.code ?? null;
  }
}

/** The prompt, or prompt and asked-for tokens, exceed what the model or the KV cache can ever hold. */
export class ContextLengthError extends RequestError {
  constructor(message: string, param: string) {
    super(message, { param, code: 'context_length_exceeded' });
  }
}

/** No model of that name is served here. */
export class ModelNotFoundError extends RequestError {
  constructor(name: string) {
    super(`The model \`${name}\` does not exist. GET /v1/models lists the models served here.`, {
      param: 'model',
      code: 'model_not_found',
    });
  }
}

/** The engine is loading, has failed, or is closing: not the client's fault, and it may try again. */
export class EngineUnavailableError extends Error {
  /** After so long it is of use to try again, in seconds; undefined: soon. */
  readonly retryAfter: number | undefined;

  constructor(message: string, options: { retryAfter?: number } = {}) {
    super(message);
    this.name = new.target.name;
    this.retryAfter = options.retryAfter;
  }
}

/** The engine cannot compute this request, however often it tries: neither would it be of use to send it again. */
export class RequestFailedError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** What a server refuses because of its load, on purpose: no fault of the client, and none to look into. */
export abstract class LoadError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** More requests wait than may, or this one has waited for too long: it may be sent again later. */
export class OverloadedError extends LoadError {
  /** When to try again. */
  readonly retryAfterSeconds: number;
  /** Work that can wait had to give way. */
  readonly isLowPriority: boolean;

  constructor(message: string, retryAfterSeconds: number, isLowPriority = false) {
    super(`${message} Please try again in ${retryAfterSeconds} s.`);
    this.retryAfterSeconds = retryAfterSeconds;
    this.isLowPriority = isLowPriority;
  }
}

/** The whole answer took longer than it may. */
export class DeadlineError extends LoadError {
  constructor(seconds: number) {
    super(
      `The request timed out: its answer was not complete after ${seconds} s. Ask for fewer tokens, or wait longer.`,
    );
  }
}
