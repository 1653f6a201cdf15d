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
    const response = await fetch(url, {
      headers: { 'accept-encoding': 'identity', ...headers },
      signal: AbortSignal.any(signal ? [signal, deadline.signal] : [deadline.signal]),
    });
    if (!isDowngrade(url, response.url)) return response;
    await response.body?.cancel();
    throw new ModelResolveError(
      `${new URL(url).host} leads to ${response.url}, which is not encrypted`,
      'Name that address itself if you trust the network.',
    );
  } catch (error) {
    if (error instanceof ModelResolveError) throw error;
    signal?.throwIfAborted();
    throw networkError(url, error);
  } finally {
    clearTimeout(timer);
  }
}

/** `fetch` follows redirects to other http and https addresses, also from one to the other. */
export function isDowngrade(asked: string, answered: string): boolean {
  return /^https:/i.test(asked) && /^http:/i.test(answered);
}

/** How long a body that is read as a whole may take, and how many bytes it may have: lists of large repositories have 2 MB. */
const WHOLE_BODY_MS = 60_000;
const MAX_WHOLE_BODY = 32 * 2 ** 20;

/** @throws ModelResolveError when it does not come or is too large; undefined when it is not JSON */
export async function readJson(url: string, response: Response, signal?: AbortSignal): Promise<unknown> {
  const { host } = new URL(url);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  const reader = response.body?.getReader();
  const timer = setTimeout(() => void reader?.cancel(new Error('late')).catch(() => {}), WHOLE_BODY_MS);
  const deadline = performance.now() + WHOLE_BODY_MS;
  try {
    for (;;) {
      const next = await reader?.read();
      if (next === undefined || next.done) break;
      bytes += next.value.length;
      if (bytes > MAX_WHOLE_BODY) {
        await reader?.cancel();
        throw new ModelResolveError(`${host} answered with more than ${MAX_WHOLE_BODY} bytes`);
      }
      chunks.push(next.value);
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof ModelResolveError ? error : networkError(url, error);
  } finally {
    clearTimeout(timer);
  }
  if (performance.now() >= deadline)
    throw new NetworkError(`${host} took more than ${WHOLE_BODY_MS / 1000} s to answer`);
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    return undefined;
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
