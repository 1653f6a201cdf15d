import { createHash, timingSafeEqual } from 'node:crypto';
import { createMiddleware } from 'hono/factory';
import { ApiError } from './openai/errors.js';

/** What a request that was let pass carries on. */
export interface ClientVariables {
  /** A name for whoever has this key, which does not give the key away; unset where no keys are asked for. */
  client?: string;
}

/**
 * Lets requests pass that carry one of the keys as `Authorization: Bearer <key>` or, as Anthropic's clients do, as
 * `X-Api-Key: <key>`.
 *
 * Digests are compared, all of them and in constant time, so that neither a key's length nor how much of a guess was
 * right can be measured. Hono's own bearer-auth refuses keys with characters outside RFC 6750; people choose such keys.
 */
export function requireApiKey(apiKeys: readonly string[]) {
  const digests = apiKeys.map(digest);
  return createMiddleware<{ Variables: ClientVariables }>(async (c, next) => {
    const header = c.req.header('Authorization') ?? '';
    const [, presented = c.req.header('X-Api-Key')] = /^Bearer +(.+)$/i.exec(header) ?? [];
    if (presented === undefined) {
      throw unauthorized('You did not provide an API key. Send the header Authorization: Bearer YOUR_KEY.', null);
    }
    const given = digest(presented.trim());
    let known = false;
    for (const expected of digests) known = timingSafeEqual(expected, given) || known;
    if (!known) throw unauthorized('Incorrect API key provided.', 'invalid_api_key');
    c.set('client', given.toString('hex'));
    await next();
  });
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

function unauthorized(message: string, code: string | null): ApiError {
  return new ApiError(401, message, { code, headers: { 'WWW-Authenticate': 'Bearer' } });
}
