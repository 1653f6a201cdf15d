import { AsyncLocalStorage } from 'node:async_hooks';
import { createHash, randomUUID } from 'node:crypto';
import type { Serving } from '../../serving/index.js';
import { mapRequests } from '../map-requests.js';

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
  return mapRequests(serving, (request) => {
    const client = clients.getStore() ?? randomUUID();
    const salt = createHash('sha256').update(`${client}/${request.cacheSalt ?? ''}`);
    return { ...request, cacheSalt: salt.digest('base64url') };
  });
}
