/**
 * The models in the cache. Each source (a file of a repository, a URL, a set of packages, a re-encoding) has a folder of
 * its own with the model's files and, once all of them are complete and verified, a record of them. What has no record
 * is unfinished.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import lockfile from 'proper-lockfile';
import { z } from 'zod';
import { cacheDir } from '../../cache-dir.js';
import { hashFile } from './checksum.js';
import { ModelResolveError } from './errors.js';
import type { OnProgress } from './progress.js';

export interface StoreOptions {
  signal?: AbortSignal | undefined;
  onProgress?: OnProgress | undefined;
}

/** A name in the model's own folder: a record may have been written by anybody. */
const fileName = z
  .string()
  .regex(/^[^/\\\0]+$/)
  .refine((name) => name !== '.' && name !== '..');

const StoreRecord = z.object({
  source: z.string(),
  files: z.array(z.object({ name: fileName, bytes: z.number(), mtimeMs: z.number(), sha256: z.string() })).min(1),
});

export type StoredFile = z.infer<typeof StoreRecord>['files'][number];

const RECORD = 'verified.json';

/** Short, as a killed holder is waited for this long. The holder renews from a timer; what blocks runs elsewhere. */
const LOCK_STALE_MS = 5000;

/** The folder of `source`; readable, and unique by the end of its name. */
export function storeFolder(source: string): string {
  const readable = source.replace(/[^\w.-]+/g, '-').slice(0, 60);
  const unique = createHash('sha256').update(source).digest('hex').slice(0, 8);
  return cacheDir('models', `${readable}-${unique}`);
}

/**
 * The finished files of `source`, or undefined. Files whose size or time of change is not what was recorded are summed
 * again; one that is not what it was makes all of them count as missing.
 */
export async function readStored(source: string, options: StoreOptions): Promise<StoredFile[] | undefined> {
  const folder = storeFolder(source);
  const record = await readRecord(folder);
  if (record?.source !== source) return undefined;
  let summed = false;
  for (const file of record.files) {
    const state = await stateOf(folder, file, options);
    if (state === 'changed') return undefined;
    summed ||= state === 'same sum';
  }
  // A copied cache has new times: recorded once, the files need not be summed at every start.
  return summed ? await commitStored(source, record.files) : record.files;
}

async function readRecord(folder: string): Promise<z.infer<typeof StoreRecord> | undefined> {
  try {
    return StoreRecord.parse(JSON.parse(await readFile(join(folder, RECORD), 'utf8')));
  } catch {
    // Absent or unreadable is the same here: the model has to be fetched.
    return undefined;
  }
}

async function stateOf(
  folder: string,
  file: StoredFile,
  { signal, onProgress }: StoreOptions,
): Promise<'untouched' | 'same sum' | 'changed'> {
  const path = join(folder, file.name);
  const found = await stat(path).catch(() => undefined);
  if (found?.size !== file.bytes) return 'changed';
  if (found.mtimeMs === file.mtimeMs) return 'untouched';
  const onBytes = (done: number) => onProgress?.({ phase: 'verify', name: file.name, done, total: file.bytes });
  const sum = (await hashFile(path, { signal, onBytes })).digest('hex');
  return sum === file.sha256 ? 'same sum' : 'changed';
}

/** Records that all files of `source` are in its folder and have been verified. */
async function commitStored(source: string, files: readonly { name: string; sha256: string }[]): Promise<StoredFile[]> {
  const folder = storeFolder(source);
  const stored = await Promise.all(
    files.map(async ({ name, sha256 }) => {
      const { size, mtimeMs } = await stat(join(folder, name));
      return { name, bytes: size, mtimeMs, sha256 };
    }),
  );
  const unfinished = join(folder, `${RECORD}.${process.pid}`);
  await writeFile(unfinished, JSON.stringify({ source, files: stored }, null, 2));
  await rename(unfinished, join(folder, RECORD));
  return stored;
}

/**
 * The files of `source`: those in the cache, or what `fetch` makes of its folder, recorded. Of several processes that
 * want the same source one fetches and the others wait for it.
 */
export async function obtain(
  source: string,
  options: StoreOptions,
  fetch: (folder: string, signal: AbortSignal) => Promise<readonly { name: string; sha256: string }[]>,
): Promise<StoredFile[]> {
  const cached = await readStored(source, options);
  if (cached) return cached;
  const folder = storeFolder(source);
  await mkdir(folder, { recursive: true });
  return await whileLocked(folder, options.signal, async (signal) => {
    // Another process may have fetched it while this one waited.
    const fetched = await readStored(source, options);
    return fetched ?? (await commitStored(source, await fetch(folder, signal)));
  });
}

async function whileLocked<T>(
  folder: string,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  // A machine that slept may find that another process has taken the lock over: then this one must write no more.
  const lost = new AbortController();
  const onCompromised = () => lost.abort(new ModelResolveError(`another process took over ${folder}`, 'Try again.'));
  const release = await acquire(folder, signal, onCompromised);
  try {
    return await work(AbortSignal.any(signal ? [signal, lost.signal] : [lost.signal]));
  } finally {
    if (!lost.signal.aborted) await release();
  }
}

async function acquire(
  folder: string,
  signal: AbortSignal | undefined,
  onCompromised: () => void,
): Promise<() => Promise<void>> {
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await lockfile.lock(folder, { stale: LOCK_STALE_MS, onCompromised });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ELOCKED') throw error;
      await delay(200, undefined, { signal });
    }
  }
}
