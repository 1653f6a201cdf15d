import { createMiddleware } from 'hono/factory';
import { ApiError } from '../openai/errors.js';
import type { Scope } from './api-key.js';
import { asClient } from './client-serving.js';
import type { KeyRing } from './key-ring.js';

/** What a request that was let pass carries on. */
export interface ClientVariables {
  /** Stands for whoever has this key, without giving it away; unset where no keys are asked for. */
  client?: string;
  /** What people call this key. */
  keyName?: string;
}

/**
 * Lets requests pass that carry a key with this scope as `Authorization: Bearer <key>` or, as Anthropic's clients do, as
 * `X-Api-Key: <key>`. Hono's own bearer-auth refuses keys with characters outside RFC 6750; people choose such keys.
 *
 * @param options `unlessNobodyHasIt`: lets everybody pass while no key has this scope.
 */
export function requireKey(keys: KeyRing, scope: Scope, { unlessNobodyHasIt = false } = {}) {
  return createMiddleware<{ Variables: ClientVariables }>(async (c, next) => {
    if (unlessNobodyHasIt && !keys.offers(scope)) return await next();
    const header = c.req.header('Authorization') ?? '';
    const [, presented = c.req.header('X-Api-Key')] = /^Bearer +(.+)$/i.exec(header) ?? [];
    if (presented === undefined) {
      throw unauthorized('You did not provide an API key. Send the header Authorization: Bearer YOUR_KEY.', null);
    }
    const key = keys.find(presented.trim());
    if (key === undefined) throw unauthorized('Incorrect API key provided.', 'invalid_api_key');
    if (!key.scopes.includes(scope)) {
      const message = `This API key has no scope ${scope}, which ${c.req.path} needs. Use another key.`;
      throw new ApiError(403, message, { code: 'insufficient_permissions' });
    }
    const client = key.digest.toString('hex');
    c.set('client', client);
    c.set('keyName', key.name);
    await asClient(client, next);
  });
}

function unauthorized(message: string, code: string | null): ApiError {
  return new ApiError(401, message, { code, headers: { 'WWW-Authenticate': 'Bearer' } });
}
