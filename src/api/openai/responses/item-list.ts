import type { z } from '@hono/zod-openapi';
import { RequestError } from '../../../serving/index.js';
import type { Item } from './item-schemas.js';
import type { ItemList } from './response-schema.js';

interface Page {
  /** The id of the last item of the page before. */
  after?: string;
  limit: number;
  order: 'asc' | 'desc';
}

/**
 * One page of a conversation.
 * @param items Oldest first.
 * @throws RequestError when the page before is not of this list.
 */
export function listItems(items: readonly Item[], { after, limit, order }: Page): z.infer<typeof ItemList> {
  const ordered = order === 'asc' ? items : items.toReversed();
  const last = after === undefined ? -1 : ordered.findIndex(({ id }) => id === after);
  if (after !== undefined && last < 0) {
    throw new RequestError(`after: there is no input item with id '${after}'.`, { param: 'after' });
  }
  const data = ordered.slice(last + 1, last + 1 + limit);
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: last + 1 + data.length < ordered.length,
  };
}
