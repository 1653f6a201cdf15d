import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { EngineUnavailableError, ModelNotFoundError, RequestError, RequestFailedError } from '../../serving/index.js';

/** The body of every answer that is not a success, as the OpenAI API has it. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

export interface ErrorReply {
  status: ContentfulStatusCode;
  body: ErrorBody;
  headers: Record<string, string>;
}

/** A fault that only HTTP knows: routes, methods, credentials, sizes, media types. */
export class ApiError extends Error {
  readonly status: ContentfulStatusCode;
  /** The request field at fault, or null. */
  readonly param: string | null;
  readonly code: string | null;
  readonly headers: Record<string, string>;

  constructor(
    status: ContentfulStatusCode,
    message: string,
    options: { param?: string | null; code?: string | null; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.name = new.target.name;
    this.status = status;
    this.param = options.param ?? null;
    this.code = options.code ?? null;
    this.headers = options.headers ?? {};
  }
}

/** Long enough for a small model to load, short enough to be worth waiting for. */
const RETRY_AFTER_SECONDS = 5;

/**
 * The one place where errors become HTTP. Anything unknown is a 500 without details: those belong into the log, a stack
 * or a path does not belong to clients.
 */
export function toErrorReply(error: unknown): ErrorReply {
  if (error instanceof ModelNotFoundError) return invalidRequest(404, error.message, error.param, error.code);
  if (error instanceof RequestError) return invalidRequest(400, error.message, error.param, error.code);
  if (error instanceof ApiError) {
    return { ...invalidRequest(error.status, error.message, error.param, error.code), headers: error.headers };
  }
  if (error instanceof EngineUnavailableError) {
    return {
      ...reply(503, error.message, 'server_error', null, 'engine_unavailable'),
      headers: { 'Retry-After': String(error.retryAfter ?? RETRY_AFTER_SECONDS) },
    };
  }
  if (error instanceof RequestFailedError) return reply(500, error.message, 'server_error', null, 'engine_crashed');
  // Hono's own validators speak in HTTPExceptions before our code sees the body.
  if (error instanceof HTTPException && error.status === 415) {
    return invalidRequest(415, 'The request body must be JSON: send the header Content-Type: application/json.');
  }
  if (error instanceof HTTPException && error.status === 400) {
    return invalidRequest(400, 'The request body is not valid JSON.');
  }
  return reply(500, 'The server had an error while processing your request. Its log says more.', 'server_error');
}

function invalidRequest(
  status: ContentfulStatusCode,
  message: string,
  param: string | null = null,
  code: string | null = null,
): ErrorReply {
  return reply(status, message, 'invalid_request_error', param, code);
}

function reply(
  status: ContentfulStatusCode,
  message: string,
  type: string,
  param: string | null = null,
  code: string | null = null,
): ErrorReply {
  return { status, body: { error: { message, type, param, code } }, headers: {} };
}
