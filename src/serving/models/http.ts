import { ModelResolveError } from './errors.js';

/** Until a server answers: short, so that a machine without internet comes to the next source within seconds. */
const ANSWER_TIMEOUT_MS = 8000;

export interface HttpOptions {
  headers?: Record<string, string> | undefined;
  signal?: AbortSignal | undefined;
}

/** The server could not be reached, or the connection broke: trying again may help. */
export class NetworkError extends ModelResolveError {
  constructor(message: string, options?: ErrorOptions) {
    super(message, 'Check the network and try again; a download goes on where it ended.', options);
  }
}

/**
 * `fetch` with a deadline for the answer (not for the body) and errors that say what went wrong.
 *
 * @throws NetworkError without an answer; the signal's reason when aborted. Any HTTP status is an answer.
 */
export async function request(url: string, { headers, signal }: HttpOptions): Promise<Response> {
  const deadline = new AbortController();
  const timer = setTimeout(
    () => deadline.abort(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)),
    ANSWER_TIMEOUT_MS,
  );
  try {
    return await fetch(url, {
      headers: { 'accept-encoding': 'identity', ...headers },
      signal: AbortSignal.any(signal ? [signal, deadline.signal] : [deadline.signal]),
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw networkError(url, error);
  } finally {
    clearTimeout(timer);
  }
}

export function networkError(url: string, error: unknown): NetworkError {
  const { code, message } = rootCause(error);
  return new NetworkError(`${new URL(url).host}: ${code ?? message}`, { cause: error });
}

/** `fetch` wraps what happened into "fetch failed" or "terminated". */
function rootCause(error: unknown): { code?: string; message: string } {
  let cause = error as { code?: string; message: string; cause?: unknown };
  while (cause.cause instanceof Error) cause = cause.cause as typeof cause;
  return cause;
}

/** What to tell the user about an answer that is not a file. Its body is given up: unread, it would hold the process. */
export async function statusError(url: string, response: Response): Promise<ModelResolveError> {
  await response.body?.cancel();
  const { host, pathname } = new URL(url);
  return new ModelResolveError(
    `${host} answered ${response.status} ${response.statusText} for ${pathname}`,
    statusHint(response.status),
  );
}

function statusHint(status: number): string {
  if (status === 401 || status === 403) {
    return 'A gated or private repository needs HF_TOKEN; a repository that does not exist answers the same.';
  }
  if (status === 404) return 'Check the spelling of the repository, the file or the URL.';
  return 'Try again later.';
}
