import { createHash, type Hash } from 'node:crypto';
import { lstat, open, readFile, rename, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileFaults } from '../../faults/index.js';
import { hashFile } from './checksum.js';
import { ModelResolveError } from './errors.js';
import { NetworkError, networkError, request, statusError } from './http.js';
import type { StoreOptions } from './store.js';

export interface RemoteFile {
  url: string;
  /** The name it gets here. */
  name: string;
  /** What is known of it beforehand. */
  sha256?: string | undefined;
  bytes?: number | undefined;
  headers?: Record<string, string> | undefined;
}

/** A connection that delivers nothing for this long is given up and tried again. */
const STALL_TIMEOUT_MS = 30_000;
/** A body of unknown length is stopped when less than this is left on the disk, looked at after as many bytes. */
const SPACE_TO_LEAVE = 256 * 2 ** 20;
const SPACE_EVERY = 64 * 2 ** 20;
/** Breaks in a row, without a byte in between, after which the download is given up; it can be resumed later. */
const MAX_BREAKS = 5;

const SPACE_HINT = 'Free some space, or set QUIRE_CACHE to a folder on another disk.';

/**
 * Downloads one file into `folder` and returns its SHA-256.
 *
 * Bytes gather in `<name>.part`, which gets its name when it is complete and its checksum, if known, right; a later call
 * goes on where an earlier one ended, in this process or another. Without a checksum it only does so when the server
 * confirms (`If-Range`, RFC 9110 §13.1.5) that the file is still the same. Callers hold the folder's lock.
 *
 * node-llama-cpp's downloader is not used: it knows no checksums and no entity tags, and asks a server that cannot be
 * reached for minutes, while other sources wait.
 *
 * @throws ModelResolveError: unreachable, not found, no space, wrong checksum. An AbortError or the signal's reason.
 */
export async function downloadFile(
  file: RemoteFile,
  folder: string,
  options: StoreOptions,
): Promise<{ name: string; sha256: string }> {
  const target = join(folder, file.name);
  if (await isThere(target, file, options)) return { name: file.name, sha256: file.sha256! };

  const arrived = await fetchPart(target, file, options);
  // A part that was begun long ago, or damaged on its way: once more, from the beginning, is worth a try.
  const part = isWhole(arrived, file) ? arrived : await fetchPart(target, file, options);
  if (!isWhole(part, file)) {
    throw new ModelResolveError(
      `${file.name} did not arrive as it should be: ${part.bytes} bytes with sha256 ${part.sha256}, ` +
        `expected ${file.bytes ?? part.bytes} with ${file.sha256 ?? part.sha256}`,
      'Try again; if it stays so, the file was changed where it comes from.',
    );
  }
  await rename(part.path, target);
  await rm(part.versionPath);
  return { name: file.name, sha256: part.sha256 };
}

function isWhole({ bytes, sha256 }: { bytes: number; sha256: string }, file: RemoteFile): boolean {
  return (file.sha256 ?? sha256) === sha256 && (file.bytes ?? bytes) === bytes;
}

/** Downloads all of a file, in as many pieces as it takes; what arrives and is not what it should be is removed. */
async function fetchPart(target: string, file: RemoteFile, options: StoreOptions): Promise<Part & { sha256: string }> {
  const part = await openPart(target, file, options);
  let breaks = 0;
  for (;;) {
    const before = part.bytes;
    try {
      await transfer(part, file, options);
      break;
    } catch (error) {
      if (isDiskFull(error)) throw await giveSpaceBack(part);
      breaks = part.bytes > before ? 1 : breaks + 1;
      // A server that was never reached is not waited for: there may be another source.
      const hopeless = breaks > MAX_BREAKS || (breaks > 0 && !part.connected);
      if (!(error instanceof NetworkError) || hopeless) throw error;
      await delay(125 * 2 ** breaks, undefined, { signal: options.signal });
    }
  }
  const arrived = { ...part, sha256: part.hash.digest('hex') };
  if (!isWhole(arrived, file)) await remove(part);
  return arrived;
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

/** Everybody on this disk waits for space: what has arrived is not worth more than that. */
async function giveSpaceBack(part: Part): Promise<ModelResolveError> {
  await remove(part);
  return new ModelResolveError(`the disk with ${dirname(part.path)} is full: what had arrived was removed`, SPACE_HINT);
}

async function remove({ path, versionPath }: Part): Promise<void> {
  await rm(path, { force: true });
  await rm(versionPath, { force: true });
}

/** A file of a split model that was completed before the others were. */
async function isThere(target: string, file: RemoteFile, { signal, onProgress }: StoreOptions): Promise<boolean> {
  const found = await stat(target).catch(() => undefined);
  if (!found || !file.sha256 || found.size !== (file.bytes ?? found.size)) return false;
  const onBytes = (done: number) => onProgress?.({ phase: 'verify', name: file.name, done, total: found.size });
  return (await hashFile(target, { signal, onBytes })).digest('hex') === file.sha256;
}

/** The bytes here so far. */
interface Part {
  path: string;
  bytes: number;
  /** Over these bytes. */
  hash: Hash;
  /** Which version of the file they belong to: `sha256:…`, or the server's own word for it; empty when unknown. */
  version: string;
  versionPath: string;
  /** Whether the server has answered in this call. */
  connected: boolean;
}

async function openPart(target: string, file: RemoteFile, { signal, onProgress }: StoreOptions): Promise<Part> {
  const path = `${target}.part`;
  const versionPath = `${path}.version`;
  // Never written through links: they lead out of the cache.
  for (const own of [path, versionPath]) {
    const found = await lstat(own).catch(() => undefined);
    if (found && !found.isFile()) await rm(own, { recursive: true });
  }
  const version = await readFile(versionPath, 'utf8').catch(() => '');
  const bytes = (await stat(path).catch(() => undefined))?.size ?? 0;
  const usable = version !== '' && (file.sha256 === undefined || version === `sha256:${file.sha256}`);
  const kept = usable ? bytes : 0;
  const onBytes = (done: number) => onProgress?.({ phase: 'verify', name: file.name, done, total: kept });
  const hash = await hashFile(path, { end: kept, signal, onBytes });
  return { path, bytes: kept, hash, version: usable ? version : '', versionPath, connected: false };
}

/** One request, from where the part ends to the end of the file. */
async function transfer(part: Part, file: RemoteFile, { signal, onProgress }: StoreOptions): Promise<void> {
  const stall = new AbortController();
  const either = AbortSignal.any(signal ? [signal, stall.signal] : [stall.signal]);
  const response = await request(file.url, { headers: { ...file.headers, ...rangeHeaders(part) }, signal: either });
  part.connected = true;
  const range = contentRange(response);
  // Everything was here already but had not got its name.
  if (response.status === 416 && range?.total === part.bytes) return;
  const continues = response.status === 206 && range?.start === part.bytes;
  if (!continues && part.bytes > 0) forget(part);
  if (response.status === 416 || (response.status === 206 && !continues)) {
    await response.body?.cancel();
    throw new NetworkError(`${new URL(file.url).host} has another version of ${file.name} now`);
  }
  if (!response.ok) throw await statusError(file.url, response);
  part.version = file.sha256 ? `sha256:${file.sha256}` : serverVersion(response);
  await writeFile(part.versionPath, part.version);
  const total = range?.total ?? Number(response.headers.get('content-length') ?? file.bytes ?? 0);
  await checkSpace(part, total);
  const most = file.bytes ?? (total || Number.POSITIVE_INFINITY);
  let nextSpaceCheck = part.bytes + SPACE_EVERY;

  const report = () => onProgress?.({ phase: 'download', name: file.name, done: part.bytes, total });
  report();
  const faults = fileFaults();
  const out = await open(part.path, part.bytes > 0 ? 'a' : 'w');
  const watchdog = setTimeout(
    () => stall.abort(new Error(`no data for ${STALL_TIMEOUT_MS / 1000} s`)),
    STALL_TIMEOUT_MS,
  );
  const take = async (chunk: Uint8Array): Promise<void> => {
    faults?.write('download', part.bytes + chunk.length);
    await out.appendFile(chunk);
    part.hash.update(chunk);
    part.bytes += chunk.length;
    report();
  };
  try {
    for await (const chunk of readBody(response, file.url, signal)) {
      watchdog.refresh();
      if (part.bytes + chunk.length > most) throw await tooLong(part, file, most);
      const breaksAfter = faults?.download(chunk, part.bytes);
      await take(breaksAfter === undefined ? chunk : chunk.subarray(0, breaksAfter));
      if (breaksAfter !== undefined) throw new NetworkError('QUIRE_FAULTS asks for a break here');
      if (total === 0 && part.bytes >= nextSpaceCheck) {
        nextSpaceCheck += SPACE_EVERY;
        await checkSpace(part, part.bytes + SPACE_TO_LEAVE);
      }
    }
    await out.sync();
  } finally {
    clearTimeout(watchdog);
    await out.close();
  }
  if (part.bytes < total) throw new NetworkError(`${new URL(file.url).host} ended the connection too early`);
}

/** More bytes than there should be are not written: what they are is not the file. */
async function tooLong(part: Part, file: RemoteFile, most: number): Promise<ModelResolveError> {
  await rm(part.path, { force: true });
  await rm(part.versionPath, { force: true });
  return new ModelResolveError(
    `${new URL(file.url).host} sends more than the ${most} bytes that ${file.name} should have`,
    'Try again; if it stays so, the file was changed where it comes from.',
  );
}

function forget(part: Part): void {
  part.bytes = 0;
  part.hash = createHash('sha256');
  part.version = '';
}

function rangeHeaders({ bytes, version }: Part): Record<string, string> {
  if (bytes === 0 || version === '') return {};
  const range = { range: `bytes=${bytes}-` };
  return version.startsWith('sha256:') ? range : { ...range, 'if-range': version };
}

/** A validator that `If-Range` may carry: a strong entity tag, else the date of the last change. */
function serverVersion(response: Response): string {
  const tag = response.headers.get('etag') ?? '';
  return tag.startsWith('"') ? tag : (response.headers.get('last-modified') ?? '');
}

/** First byte (undefined in a 416) and length of the whole file. */
function contentRange(response: Response): { start: number | undefined; total: number } | undefined {
  const match = /^bytes (?:\*|(\d+)-\d+)\/(\d+)$/.exec(response.headers.get('content-range') ?? '');
  return match ? { start: match[1] === undefined ? undefined : Number(match[1]), total: Number(match[2]) } : undefined;
}

async function checkSpace(part: Part, total: number): Promise<void> {
  const folder = dirname(part.path);
  const { bavail, bsize } = await statfs(folder);
  const missing = total - part.bytes - bavail * bsize;
  if (missing <= 0) return;
  throw new ModelResolveError(`${Math.ceil(missing / 1e6)} MB of disk space are missing in ${folder}`, SPACE_HINT);
}

/** The chunks of a body; a connection that breaks is a NetworkError. */
async function* readBody(response: Response, url: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const chunks = response.body[Symbol.asyncIterator]();
  for (;;) {
    const next = await chunks.next().catch((error: unknown) => {
      signal?.throwIfAborted();
      throw networkError(url, error);
    });
    if (next.done) return;
    yield next.value;
  }
}
