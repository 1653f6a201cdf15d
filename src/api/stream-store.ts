import { LRUCache } from 'lru-cache';
import { ResumableStream } from './resumable-stream.js';
import type { TextSource } from './text-body.js';

export interface StreamStoreLimits {
  windowMs: number;
  /** Of one stream's events. */
  maxStreamBytes: number;
  /** Of all. */
  maxBytes: number;
}

const MAX_STREAM_BYTES = 4 * 2 ** 20;
const MAX_BYTES = 64 * 2 ** 20;

/** How many streams are remembered that there are no more, to tell them from those that there never were. */
const REMEMBERED = 10_000;

export interface KeptStream {
  stream: ResumableStream;
  contentType: string;
}

/** The streams that can be taken up again, each by the client that began it. */
export interface StreamStore {
  /** @param id It gets another one if this one is taken. */
  add(client: string, id: string, contentType: string, source: TextSource): ResumableStream;
  /** `gone`: it was there once. */
  find(client: string, id: string): KeptStream | 'gone' | undefined;
  /** Of all events that are kept. */
  bytes(): number;
}

/**
 * Keeps streams in memory, within bounds: when there is no room, those that are over and that nobody reads are dropped, the
 * oldest first, and then the earliest events of the one that grows.
 *
 * @param newId Makes an id that nobody has.
 */
export function createStreamStore(
  newId: () => string,
  {
    windowMs,
    maxStreamBytes = MAX_STREAM_BYTES,
    maxBytes = MAX_BYTES,
  }: Partial<StreamStoreLimits> & { windowMs: number },
): StreamStore {
  const streams = new Map<string, KeptStream>();
  const gone = new LRUCache<string, true>({ max: REMEMBERED });
  let total = 0;

  function makeRoom(growing: ResumableStream): void {
    if (growing.bytes > maxStreamBytes) growing.trim(growing.bytes - maxStreamBytes);
    for (const { stream } of streams.values()) {
      if (total <= maxBytes) return;
      if (stream.isOver && !stream.isRead) stream.close();
    }
    if (total > maxBytes) growing.trim(total - maxBytes);
  }

  return {
    add(client, id, contentType, source) {
      const own = streams.has(keyOf(client, id)) ? newId() : id;
      const key = keyOf(client, own);
      const stream: ResumableStream = new ResumableStream({
        id: own,
        source,
        windowMs,
        onSize(change) {
          total += change;
          if (change > 0) makeRoom(stream);
        },
        onClosed() {
          streams.delete(key);
          gone.set(key, true);
        },
      });
      streams.set(key, { stream, contentType });
      gone.delete(key);
      return stream;
    },
    find: (client, id) => streams.get(keyOf(client, id)) ?? (gone.has(keyOf(client, id)) ? 'gone' : undefined),
    bytes: () => total,
  };
}

function keyOf(client: string, id: string): string {
  return `${client}/${id}`;
}
