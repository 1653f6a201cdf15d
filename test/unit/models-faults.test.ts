import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type FileServer, startFileServer } from '../support/file-server.js';

const body = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * i) % 251));
const sha256 = createHash('sha256').update(body).digest('hex');

let server: FileServer;
let folder: string;

beforeEach(async () => {
  server = await startFileServer();
  server.files.set('/model.gguf', { body });
  folder = mkdtempSync(join(tmpdir(), 'quire-faults-'));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
  rmSync(folder, { recursive: true });
});

/** Modules as a process has them that starts with these faults: they are read once. */
async function withFaults<T>(faults: string, load: () => Promise<T>): Promise<T> {
  vi.stubEnv('QUIRE_FAULTS', faults);
  vi.stubEnv('QUIRE_ALLOW_FAULTS', '1');
  vi.resetModules();
  return load();
}

async function download(faults: string, checksum: string | undefined) {
  const { downloadFile } = await withFaults(faults, () => import('../../src/serving/models/download.js'));
  return downloadFile({ url: `${server.url}/model.gguf`, name: 'model.gguf', sha256: checksum }, folder, {});
}

it.each([sha256, undefined])('a download that breaks off goes on where it was (checksum %s)', async (checksum) => {
  expect(await download('break-download@bytes=50000;break-download@bytes=200000', checksum)).toMatchObject({ sha256 });
  expect(server.requests).toEqual(['/model.gguf', '/model.gguf bytes=50000-', '/model.gguf bytes=200000-']);
  expect(readFileSync(join(folder, 'model.gguf')).equals(body)).toBe(true);
});

it('a download that is damaged on its way is begun again', async () => {
  expect(await download('corrupt-download@bytes=70000', sha256)).toMatchObject({ sha256 });
  expect(server.requests).toEqual(['/model.gguf', '/model.gguf']);
  expect(readFileSync(join(folder, 'model.gguf')).equals(body)).toBe(true);
  expect(readdirSync(folder)).toEqual(['model.gguf']);
});

it('a download that is damaged again is refused, and leaves nothing', async () => {
  await expect(download('corrupt-download@bytes=70000,times=2', sha256)).rejects.toThrow('as it should be');
  expect(readdirSync(folder)).toEqual([]);
});

it('a full disk ends a download with what to do, and gets its space back', async () => {
  await expect(download('disk-full@write=download,bytes=100000', sha256)).rejects.toMatchObject({
    name: 'ModelResolveError',
    message: expect.stringContaining('is full'),
    hint: expect.stringContaining('QUIRE_CACHE'),
  });
  expect(readdirSync(folder)).toEqual([]);
});

/** Compiles anything, in no time. */
const COMPILER = `#!/bin/sh
while [ $# -gt 1 ]; do
  if [ "$1" = -o ]; then echo library > "$2"; fi
  shift
done
`;

it.skipIf(process.platform === 'win32')('a full disk while the kernel is compiled leaves no half of it', async () => {
  const compiler = join(folder, 'cc');
  writeFileSync(compiler, COMPILER, { mode: 0o755 });
  vi.stubEnv('CC', compiler);
  vi.stubEnv('QUIRE_CACHE', join(folder, 'cache'));
  const build = (faults: string) =>
    withFaults(faults, async () => (await import('../../src/attention/build-kernel.js')).buildKernel());
  const files = () =>
    readdirSync(join(folder, 'cache'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  await expect(build('disk-full@write=compile')).rejects.toThrow('ENOSPC');
  expect(files()).toEqual([]);
  await build('');
  expect(files()).toHaveLength(1);
});
