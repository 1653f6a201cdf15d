import { LRUCache } from 'lru-cache';
import type { Item } from './item-schemas.js';
import type { WireResponse } from './response-schema.js';

export interface StoredResponse {
  response: WireResponse;
  /** The whole conversation before the response's output; instructions are no part of it. */
  input: readonly Item[];
  /** Of response and conversation, as JSON. */
  bytes: number;
}

/** The responses of one client, who sees no others. */
export interface ResponseShelf {
  /**
   * Keeps a response, unless it is larger than all that may be kept.
   * @param input What the request added to the conversation of the previous response.
   */
  add(response: WireResponse, input: readonly Item[], previous?: StoredResponse): void;
  get(id: string): StoredResponse | undefined;
  /** Returns whether it was there. */
  delete(id: string): boolean;
  /** An item that a kept response took or gave. */
  item(id: string): Item | undefined;
}

export interface ResponseStoreLimits {
  maxResponses: number;
  /** As JSON; what responses of one conversation share counts for each of them. */
  maxBytes: number;
  ttlMs: number;
}

const DEFAULT_LIMITS: ResponseStoreLimits = { maxResponses: 10_000, maxBytes: 128 * 2 ** 20, ttlMs: 24 * 3_600_000 };

interface Entry extends StoredResponse {
  /** Of the items that came with it. */
  itemKeys: readonly string[];
}

/**
 * Responses in memory; the least recently used are dropped first. Each holds on to its whole conversation, so that it
 * can be continued when earlier ones are gone.
 *
 * @returns the shelf of a client, by the client's name.
 */
export function createResponseStore(limits: ResponseStoreLimits = DEFAULT_LIMITS): (client: string) => ResponseShelf {
  const items = new Map<string, { item: Item; entryKey: string }>();
  const entries = new LRUCache<string, Entry>({
    max: limits.maxResponses,
    maxSize: limits.maxBytes,
    sizeCalculation: ({ bytes }) => bytes,
    ttl: limits.ttlMs,
    ttlAutopurge: true,
    dispose({ itemKeys }, entryKey) {
      for (const key of itemKeys) if (items.get(key)?.entryKey === entryKey) items.delete(key);
    },
  });

  return (client) => {
    const keyOf = (id: string): string => `${client}/${id}`;
    return {
      add(response, input, previous) {
        const bytes = (previous?.bytes ?? 0) + JSON.stringify(response).length + JSON.stringify(input).length;
        if (bytes > limits.maxBytes) return;
        const entryKey = keyOf(response.id);
        const brought = [...input, ...response.output];
        entries.set(entryKey, {
          response,
          input: [...conversationOf(previous), ...input],
          bytes,
          itemKeys: brought.map(({ id }) => keyOf(id)),
        });
        for (const item of brought) items.set(keyOf(item.id), { item, entryKey });
      },
      get: (id) => entries.get(keyOf(id)),
      delete: (id) => entries.delete(keyOf(id)),
      item(id) {
        const found = items.get(keyOf(id));
        return found && entries.get(found.entryKey) ? found.item : undefined;
      },
    };
  };
}

/** Everything that was said up to and with a response. */
export function conversationOf(stored: StoredResponse | undefined): readonly Item[] {
  return stored === undefined ? [] : [...stored.input, ...stored.response.output];
}
