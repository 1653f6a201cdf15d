import { HTTPException } from 'hono/http-exception';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import {
  DeadlineError,
  EngineUnavailableError,
  LoadError,
  ModelNotFoundError,
  OverloadedError,
  RequestError,
  RequestFailedError,
} from '../../serving/index.js';
import { ClosingError } from '../drain.js';

/** The body of every answer that is not a success, as the OpenAI API has it. */
export interface ErrorBody {
  error: { message: string; type: string; param: string | null; code: string | null };
}

export interface ErrorReply {
  status: ContentfulStatusCode;
  body: ErrorBody;
  headers: Record<string, string>;
}

const INVALID_REQUEST = 'invalid_request_error';

/** A fault that only HTTP knows: limits of clients, routes, methods, credentials, sizes, media types. */
export class ApiError extends Error {
  readonly status: ContentfulStatusCode;
  readonly type: string;
  /** The request field at fault, or null. */
  readonly param: string | null;
  readonly code: string | null;
  readonly headers: Record<string, string>;

  constructor(
    status: ContentfulStatusCode,
    message: string,
    options: { type?: string; param?: string | null; code?: string | null; headers?: Record<string, string> } = {},
  ) {
    super(message);
    this.name = new.target.name;
    this.status = status;
    this.type = options.type ?? INVALID_REQUEST;
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
    const { status, message, type, param, code, headers } = error;
    return { ...reply(status, message, type, param, code), headers };
  }
  if (error instanceof EngineUnavailableError) {
    return {
      ...reply(503, error.message, 'server_error', null, 'engine_unavailable'),
      headers: { 'Retry-After': String(error.retryAfter ?? RETRY_AFTER_SECONDS) },
    };
  }
  if (error instanceof RequestFailedError) return reply(500, error.message, 'server_error', null, 'engine_crashed');
  if (error instanceof OverloadedError) return overloaded(error);
  if (error instanceof DeadlineError) {
    const headers = { 'X-Should-Retry': 'false' };
    return { ...reply(504, error.message, 'server_error', null, 'request_timeout'), headers };
  }
  // Hono's own validators speak in HTTPExceptions before our code sees the body.
  if (error instanceof HTTPException && error.status === 415) {
    return invalidRequest(415, 'The request body must be JSON: send the header Content-Type: application/json.');
  }
  if (error instanceof HTTPException && error.status === 400) {
    return invalidRequest(400, 'The request body is not valid JSON.');
  }
  return reply(500, 'The server had an error while processing your request. Its log says more.', 'server_error');
}

/** Whether the log has to tell of it, besides the answer. */
export function isFault(error: unknown, { status }: Pick<ErrorReply, 'status'>): boolean {
  return status >= 500 && !(error instanceof LoadError) && !(error instanceof ClosingError);
}

/**
 * 503 as OpenAI says that its engine is overloaded: it is nothing that this client did, which 429 would mean, and what
 * balances load sends the request elsewhere. Work that can wait gets the 429 of OpenAI's flex tier.
 */
function overloaded({ message, isLowPriority, retryAfterSeconds }: OverloadedError): ErrorReply {
  const [status, code] = isLowPriority ? ([429, 'resource_unavailable'] as const) : ([503, 'overloaded'] as const);
  const headers = { 'Retry-After': String(retryAfterSeconds) };
  return { ...reply(status, message, 'server_error', null, code), headers };
}

function invalidRequest(
  status: ContentfulStatusCode,
  message: string,
  param: string | null = null,
  code: string | null = null,
): ErrorReply {
  return reply(status, message, INVALID_REQUEST, param, code);
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
