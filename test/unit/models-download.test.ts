import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { downloadFile } from '../../src/serving/models/download.js';
import type { ResolveProgress } from '../../src/serving/models/index.js';
import { type FileServer, startFileServer } from '../support/file-server.js';

const body = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * i) % 251));
const sha256 = createHash('sha256').update(body).digest('hex');

let server: FileServer;
let folder: string;
const target = () => join(folder, 'model.gguf');
const remote = () => ({ url: `${server.url}/model.gguf`, name: 'model.gguf' });

beforeEach(async () => {
  server = await startFileServer();
  folder = mkdtempSync(join(tmpdir(), 'quire-download-'));
});

afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

/** A listener that breaks the connection when so many bytes have arrived, and when so many more have. */
function breakAt(...points: number[]): (progress: ResolveProgress) => void {
  return ({ done }) => {
    if (done !== points[0]) return;
    points.shift();
    server.breakConnections();
  };
}

/** Leaves the first 50,000 bytes of the file behind. */
async function leaveUnfinished(checksum?: string): Promise<void> {
  server.files.set('/model.gguf', { body, stalls: [50_000] });
  const abort = new AbortController();
  const onProgress = ({ done }: ResolveProgress) => {
    if (done === 50_000) abort.abort();
  };
  const download = downloadFile({ ...remote(), sha256: checksum }, folder, { signal: abort.signal, onProgress });
  await expect(download).rejects.toThrow('aborted');
  server.files.set('/model.gguf', { body });
  server.requests.length = 0;
}

describe('downloadFile', () => {
  it('brings the file, its checksum, and progress up to its length', async () => {
    server.files.set('/model.gguf', { body });
    const progress: ResolveProgress[] = [];
    const file = await downloadFile(remote(), folder, { onProgress: (p) => progress.push(p) });
    expect(file).toEqual({ name: 'model.gguf', sha256 });
    expect(readFileSync(target()).equals(body)).toBe(true);
    expect(readdirSync(folder)).toEqual(['model.gguf']);
    expect(progress[0]).toEqual({ phase: 'download', name: 'model.gguf', done: 0, total: body.length });
    expect(progress.at(-1)).toMatchObject({ done: body.length, total: body.length });
  });

  it('goes on where the connection broke', async () => {
    server.files.set('/model.gguf', { body, stalls: [50_000, 70_000] });
    expect(await downloadFile(remote(), folder, { onProgress: breakAt(50_000, 120_000) })).toMatchObject({ sha256 });
    expect(server.requests).toEqual(['/model.gguf', '/model.gguf bytes=50000-', '/model.gguf bytes=120000-']);
    expect(readFileSync(target()).equals(body)).toBe(true);
  });

  it('goes on where an earlier call ended', async () => {
    await leaveUnfinished();
    expect(existsSync(target())).toBe(false);
    expect(await downloadFile(remote(), folder, {})).toMatchObject({ sha256 });
    expect(server.requests).toEqual(['/model.gguf bytes=50000-']);
    expect(readFileSync(target()).equals(body)).toBe(true);
  });

  it('begins again when the file has changed meanwhile', async () => {
    await leaveUnfinished();
    const changed = Buffer.from(body).reverse();
    server.files.set('/model.gguf', { body: changed });
    await downloadFile(remote(), folder, {});
    expect(readFileSync(target()).equals(changed)).toBe(true);
  });

  it('begins again when another file is wanted than the one that was begun', async () => {
    await leaveUnfinished('0'.repeat(64));
    expect(await downloadFile({ ...remote(), sha256 }, folder, {})).toMatchObject({ sha256 });
    expect(server.requests).toEqual(['/model.gguf']);
  });

  it('begins again where the server does not know ranges', async () => {
    await leaveUnfinished();
    server.files.set('/model.gguf', { body, ranges: false });
    expect(await downloadFile(remote(), folder, {})).toMatchObject({ sha256 });
    expect(readFileSync(target()).equals(body)).toBe(true);
  });

  it('finishes a file that had arrived completely but not got its name', async () => {
    await leaveUnfinished(sha256);
    writeFileSync(`${target()}.part`, body);
    expect(await downloadFile({ ...remote(), sha256 }, folder, {})).toMatchObject({ sha256 });
    expect(readdirSync(folder)).toEqual(['model.gguf']);
  });

  it('gives up after several breaks without a byte in between, and keeps what it has', async () => {
    server.files.set('/model.gguf', { body, stalls: [50_000, 0, 0, 0, 0, 0] });
    const onProgress = breakAt(...Array(6).fill(50_000));
    await expect(downloadFile(remote(), folder, { onProgress })).rejects.toMatchObject({ name: 'NetworkError' });
    expect(readFileSync(`${target()}.part`).equals(body.subarray(0, 50_000))).toBe(true);
  });

  it('does not ask for a file that is here with the right checksum', async () => {
    writeFileSync(target(), body);
    expect(await downloadFile({ ...remote(), sha256 }, folder, {})).toEqual({ name: 'model.gguf', sha256 });
    expect(server.requests).toEqual([]);
  });

  it('refuses a file with another checksum or length, and forgets it', async () => {
    server.files.set('/model.gguf', { body });
    for (const expected of [{ sha256: '0'.repeat(64) }, { bytes: 5 }, { bytes: body.length + 5 }]) {
      const reason = expected.bytes === 5 ? 'more than the 5 bytes' : sha256;
      await expect(downloadFile({ ...remote(), ...expected }, folder, {})).rejects.toThrow(reason);
      expect(readdirSync(folder)).toEqual([]);
    }
  });

  it('follows redirects, and sends credentials only to the host they are for', async () => {
    const elsewhere = await startFileServer();
    try {
      elsewhere.files.set('/data', { body });
      server.redirects.set('/model.gguf', `${elsewhere.url}/data`);
      const headers = { authorization: 'Bearer secret' };
      expect(await downloadFile({ ...remote(), headers }, folder, {})).toMatchObject({ sha256 });
      expect(server.authorizations).toEqual(['Bearer secret']);
      expect(elsewhere.authorizations).toEqual([undefined]);
    } finally {
      await elsewhere.close();
    }
  });

  it('says that a file does not exist, and that a server cannot be reached, without trying again', async () => {
    await expect(downloadFile(remote(), folder, {})).rejects.toMatchObject({
      name: 'ModelResolveError',
      message: expect.stringContaining('404'),
      hint: expect.stringContaining('spelling'),
    });
    expect(server.requests).toHaveLength(1);
    const closed = await startFileServer();
    await closed.close();
    const unreachable = { url: `${closed.url}/model.gguf`, name: 'model.gguf' };
    await expect(downloadFile(unreachable, folder, {})).rejects.toMatchObject({
      name: 'NetworkError',
      message: expect.stringContaining('ECONNREFUSED'),
    });
  });
});
