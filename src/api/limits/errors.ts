import { ApiError } from '../openai/errors.js';

type Kind = 'requests' | 'tokens';

/** What a client is told that has used up what it may. @param what `tokens per min` */
export function tooMany(
  type: Kind,
  what: string,
  limit: number,
  used: number,
  requested: number,
  msToWait: number,
  headers: Record<string, string>,
): ApiError {
  const seconds = Math.max(1, Math.ceil(msToWait / 1000));
  return limitError(
    type,
    `Rate limit reached for ${what}: Limit ${limit}, Used ${used}, Requested ${requested}. Please try again in ${seconds}s.`,
    { ...headers, 'Retry-After': String(seconds) },
  );
}

/** What a client is told that asks for more than it may ever have at once: OpenAI's clients then do not try again. */
export function tooLarge(
  type: Kind,
  what: string,
  limit: number,
  requested: number,
  headers: Record<string, string>,
): ApiError {
  return limitError(
    type,
    `Request too large for ${what}: Limit ${limit}, Requested ${requested}. The prompt or max_tokens must be reduced.`,
    { ...headers, 'X-Should-Retry': 'false' },
  );
}

function limitError(type: Kind, message: string, headers: Record<string, string>): ApiError {
  return new ApiError(429, message, { type, code: 'rate_limit_exceeded', headers });
}
