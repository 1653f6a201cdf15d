import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash, randomUUID } from 'node:crypto';
import type { Serving } from '../../serving/index.js';

const clients = new AsyncLocalStorage<string>();

/** Runs `work`, and all that it starts, on behalf of a client: see {@link isolateClients}. */
export function asClient<T>(client: string, work: () => T): T {
  return clients.run(client, work);
}

/**
 * A serving whose prefix cache is one for each client: how long an answer takes tells nobody what others have asked.
 *
 * The client is who `asClient` says that the request is of. That is no parameter, so that no protocol can forget to pass it on.
 * Of what runs on nobody's behalf, nothing is shared.
 */
export function isolateClients(serving: Serving): Serving {
  const salted = <T extends { cacheSalt?: string }>(request: T): T => {
    const client = clients.getStore() ?? randomUUID();
    const salt = createHash('sha256').update(`${client}/${request.cacheSalt ?? ''}`);
    return { ...request, cacheSalt: salt.digest('base64url') };
  };
  return new Proxy(serving, {
    get(target, name) {
      if (name === 'generate')
        return (...[request, signal]: Parameters<Serving['generate']>) => target.generate(salted(request), signal);
      if (name === 'embed')
        return (...[request, signal]: Parameters<Serving['embed']>) => target.embed(salted(request), signal);
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
