import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { downloadFile } from '../../src/serving/models/download.js';
import { localName } from '../../src/serving/models/file-name.js';
import { isDowngrade } from '../../src/serving/models/http.js';
import { resolveModel } from '../../src/serving/models/index.js';
import { storeFolder } from '../../src/serving/models/store.js';
import { writeTinyGguf } from '../support/tiny-gguf.js';

let folder: string;
let model: Buffer;
let server: Server | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quire-hostile-'));
  vi.stubEnv('QUIRE_CACHE', join(folder, 'cache'));
  vi.stubEnv('HF_TOKEN', '');
  writeTinyGguf(join(folder, 'good.gguf'));
  model = readFileSync(join(folder, 'good.gguf'));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  server?.closeAllConnections();
  server?.close();
  server = undefined;
  rmSync(folder, { recursive: true, force: true });
});

/** Address of a server that answers so. */
async function serve(listener: RequestListener): Promise<string> {
  server = createServer(listener);
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  vi.stubEnv('HF_ENDPOINT', url);
  return url;
}

/** All files below the folder of this test. */
const everything = () => (readdirSync(folder, { recursive: true }) as string[]).sort();

describe('names of models that lead elsewhere', () => {
  it.each([
    'hf:../../etc',
    'hf:../..',
    'hf:user/..',
    'hf:./repo',
    'hf:user/repo/../../x.gguf',
    'hf:user/repo/..\\..\\x.gguf',
    'hf:user/repo//etc/x.gguf',
    'hf:user/repo/a\u0000b.gguf',
    'hf:user/repo/a\nb.gguf',
    'hf:user\\..\\repo/x',
    'hf:user/repo:../../x',
  ])('%j is refused before anybody is asked', async (reference) => {
    let asked = 0;
    await serve((_, response) => {
      asked++;
      response.writeHead(404).end();
    });
    await expect(resolveModel(reference)).rejects.toMatchObject({
      name: 'ModelResolveError',
      hint: expect.any(String),
    });
    expect(asked).toBe(0);
  });

  it.each([
    '\0',
    'a\0b.gguf',
    '../../no/such\0file',
    'C:\\no\\such.gguf',
    'smollm2/../../x',
    '__proto__',
    'constructor',
    '',
  ])('%j is no model', async (reference) => {
    await expect(resolveModel(reference)).rejects.toMatchObject({ name: 'ModelResolveError' });
  });

  it.each([
    ['a/../../etc/passwd', 'passwd.gguf'],
    ['..', '...gguf'],
    ['a\\..\\..\\b.gguf', 'a_.._.._b.gguf'],
    ['C:b.gguf:stream', 'C_b.gguf_stream.gguf'],
    ['/x/%2e%2e%2fb.gguf', '_2e_2e_2fb.gguf'],
    ['a\0b.gguf', 'a_b.gguf'],
    ['Qwen2.5+x-1B.Q4_K_M.gguf', 'Qwen2.5+x-1B.Q4_K_M.gguf'],
  ])('%j is called %j here', (remote, local) => expect(localName(remote)).toBe(local));

  it('are made harmless when a hub or a URL brings them', async () => {
    const path = '..\\..\\evil.gguf';
    const oid = createHash('sha256').update(model).digest('hex');
    const url = await serve((request, response) => {
      if (!request.url!.startsWith('/api/')) return response.end(model);
      return response.end(JSON.stringify([{ type: 'file', path, size: model.length, lfs: { oid } }]));
    });
    const resolved = await resolveModel('hf:user/repo');
    expect(resolved.path).toBe(join(storeFolder('hf:user/repo'), '.._.._evil.gguf'));
    const second = await resolveModel(`${url}/x/%2e%2e%5c%2e%2e%2fevil.gguf`);
    expect(second.path.startsWith(join(folder, 'cache', 'models'))).toBe(true);
    expect(
      everything()
        .filter((name) => name.includes('evil'))
        .every((name) => name.startsWith('cache')),
    ).toBe(true);
  });
});

describe('a hub or server that lies', () => {
  it.each([
    ['no JSON', '<html>'],
    ['no list', '{"path":"x.gguf"}'],
    ['sizes that are none', '[{"type":"file","path":"x.gguf","size":-1}]'],
    ['checksums that are none', '[{"type":"file","path":"x.gguf","size":1,"lfs":{"oid":"../x"}}]'],
  ])('with %s is refused', async (_, body) => {
    await serve((_, response) => response.end(body));
    await expect(resolveModel('hf:user/repo')).rejects.toThrow('not a list of files');
  });

  it('about the size of its list costs no memory', async () => {
    await serve((_, response) => {
      const more = () => {
        while (!response.destroyed && response.write(' '.repeat(1 << 20))) {}
      };
      response.on('drain', more);
      more();
    });
    await expect(resolveModel('hf:user/repo')).rejects.toThrow('answered with more than 33554432 bytes');
  });

  it('about the length of a file is stopped, and nothing of it is kept', async () => {
    const url = await serve((_, response) => {
      response.write(Buffer.alloc(1000));
      response.end(Buffer.alloc(1 << 20));
    });
    const file = { url: `${url}/x.gguf`, name: 'x.gguf', bytes: 1000 };
    await expect(downloadFile(file, folder, {})).rejects.toThrow('more than the 1000 bytes that x.gguf should have');
    expect(everything()).toEqual(['good.gguf']);
  });

  it('about its contents is refused by the checksum, and nothing of it is kept', async () => {
    const url = await serve((_, response) => response.end(Buffer.alloc(1000)));
    const file = { url: `${url}/x.gguf`, name: 'x.gguf', sha256: 'a'.repeat(64) };
    await expect(downloadFile(file, folder, {})).rejects.toThrow('did not arrive as it should be');
    expect(everything()).toEqual(['good.gguf']);
  });

  it.each([
    ['a file', 'file:///etc/passwd'],
    ['data', 'data:text/plain,x'],
    ['itself', '/x.gguf'],
    ['nothing', 'http://'],
  ])('and leads to %s is not followed', async (_, location) => {
    const url = await serve((_, response) => response.writeHead(302, { location }).end());
    const file = { url: `${url}/x.gguf`, name: 'x.gguf' };
    await expect(downloadFile(file, folder, {})).rejects.toMatchObject({ name: 'NetworkError' });
    expect(existsSync(join(folder, 'x.gguf'))).toBe(false);
  });

  it('does not lead from an encrypted connection to an open one', () => {
    expect(isDowngrade('https://a/x', 'http://a/x')).toBe(true);
    expect(isDowngrade('https://a/x', 'https://b/x')).toBe(false);
    expect(isDowngrade('http://a/x', 'http://b/x')).toBe(false);
  });
});

describe('a cache that somebody else has written into', () => {
  it('has no links that downloads are written through', async () => {
    const outside = join(folder, 'outside');
    writeFileSync(outside, 'precious');
    symlinkSync(outside, join(folder, 'x.gguf.part'));
    symlinkSync(outside, join(folder, 'x.gguf.part.version'));
    symlinkSync(outside, join(folder, 'x.gguf'));
    const url = await serve((_, response) => response.end(model));
    await downloadFile({ url: `${url}/x.gguf`, name: 'x.gguf' }, folder, {});
    expect(readFileSync(outside, 'utf8')).toBe('precious');
    expect(readFileSync(join(folder, 'x.gguf')).equals(model)).toBe(true);
  });

  it.each(['../../../good.gguf', '/etc/passwd', '..', 'a\\b', 'a\0b'])('has no record of %j', async (name) => {
    const url = await serve((_, response) => response.end(model));
    const { path } = await resolveModel(`${url}/x.gguf`);
    const record = join(path, '..', 'verified.json');
    const stored = JSON.parse(readFileSync(record, 'utf8'));
    stored.files[0].name = name;
    writeFileSync(record, JSON.stringify(stored));
    // As if it were not there: fetched again.
    expect((await resolveModel(`${url}/x.gguf`)).path).toBe(path);
    expect(JSON.parse(readFileSync(record, 'utf8')).files[0].name).toBe('x.gguf');
  });
});

describe('a path to what is no file', () => {
  it('is refused at once', async () => {
    const pipe = join(folder, 'pipe.gguf');
    execFileSync('mkfifo', [pipe]);
    await expect(resolveModel(pipe)).rejects.toThrow('a device or a pipe');
    await expect(resolveModel('/dev/zero')).rejects.toThrow('a device or a pipe');
  });
});
