import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** A running SHA-256 over the first bytes of a file, so that a download goes on with its sum where it was cut. */
export async function hashFile(
  path: string,
  options: { end?: number; signal?: AbortSignal | undefined; onBytes?(done: number): void } = {},
) {
  const hash = createHash('sha256');
  const end = options.end ?? Number.POSITIVE_INFINITY;
  if (end === 0) return hash;
  let done = 0;
  // `end` of a read stream is inclusive.
  for await (const chunk of createReadStream(path, { end: end - 1, highWaterMark: 1 << 20, signal: options.signal })) {
    hash.update(chunk);
    done += chunk.length;
    options.onBytes?.(done);
  }
  return hash;
}
