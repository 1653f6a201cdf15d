import type { Context } from 'hono';
import { ApiError } from '../openai/errors.js';

/** Who sent a request, and how long it waits for the answer. */
export interface Caller {
  /** Fires when it leaves. */
  signal: AbortSignal;
  /** Names it without giving its key away; undefined where no keys are asked for. */
  client: string | undefined;
  timeoutMs: number | undefined;
}

/** Seconds that a client gives an answer. */
export const TIMEOUT_HEADER = 'X-Request-Timeout';

const LONGEST_TIMEOUT_S = 86_400;

/** @throws ApiError, 400 */
export function callerOf(c: Context): Caller {
  return {
    signal: c.req.raw.signal,
    client: c.get('client') as string | undefined,
    timeoutMs: timeoutOf(c.req.header(TIMEOUT_HEADER)),
  };
}

function timeoutOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = header.trim() === '' ? Number.NaN : Number(header);
  if (seconds > 0 && seconds <= LONGEST_TIMEOUT_S) return seconds * 1000;
  const message = `The header ${TIMEOUT_HEADER} must be a number of seconds, above 0 and at most ${LONGEST_TIMEOUT_S}.`;
  throw new ApiError(400, message, { param: TIMEOUT_HEADER });
}
