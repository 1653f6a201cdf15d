import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createKeyRing, digestOf, type KeyRing, newApiKey, parseKeyFile, withKey } from '../../src/api/access/index.js';
import { createLogger } from '../../src/telemetry/index.js';

const hashOf = (key: string) => `sha256:${digestOf(key).toString('hex')}`;
const fileOf = (...keys: object[]) => JSON.stringify({ keys });

let folder: string;
let file: string;
let ring: KeyRing | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quire-keys-'));
  file = join(folder, 'keys.json');
});

afterEach(() => {
  ring?.close();
  rmSync(folder, { recursive: true });
});

describe('a key file', () => {
  it('is JSON or lines', () => {
    const json = fileOf(
      { name: 'a', hash: hashOf('x') },
      { name: 'b', scopes: ['admin', 'metrics'], hash: hashOf('y') },
    );
    const lines = `# ours\n\n${hashOf('x')} a\r\n  ${hashOf('y')}  b admin,metrics\n`;
    const keys = [
      { name: 'a', scopes: ['inference'], digest: digestOf('x'), source: 'file' },
      { name: 'b', scopes: ['admin', 'metrics'], digest: digestOf('y'), source: 'file' },
    ];
    expect(parseKeyFile(json)).toEqual(keys);
    expect(parseKeyFile(lines)).toEqual(keys);
    expect(parseKeyFile('')).toEqual([]);
  });

  it.each([
    ['{"keys": [', 'it is not valid JSON'],
    ['[]', 'it must be an object with `keys`'],
    ['{"keys": {}}', 'it must be an object with `keys`'],
    [fileOf({ name: 'a', hash: 'sk-secret' }), 'key 1: hash must be `sha256:`'],
    [
      fileOf({ name: 'a', hash: hashOf('x'), scopes: ['root'] }),
      'key 1: scopes.0 must be of inference, admin, metrics',
    ],
    [fileOf({ name: 'a', hash: hashOf('x'), scopes: [] }), 'key 1: scopes must not be empty'],
    [fileOf({ name: 'a\nb', hash: hashOf('x') }), 'key 1: name must be'],
    [fileOf({ name: 'a', hash: hashOf('x'), 'sk-secret': 1 }), 'has a field that is not'],
    [fileOf({ name: 'a', hash: hashOf('x') }, { name: 'a', hash: hashOf('y') }), 'two keys have the name of key a'],
    [fileOf({ name: 'a', hash: hashOf('x') }, { name: 'b', hash: hashOf('x') }), 'two keys have the hash of key b'],
    ['sk-secret', 'line 1: hash must be'],
    [`\n${hashOf('x')} a inference sk-secret`, 'line 2: has more than'],
  ])('%j is refused without repeating it', (text, message) => {
    expect(() => parseKeyFile(text)).toThrow(message);
    expect(() => parseKeyFile(text)).not.toThrow('secret');
  });

  it('gets a further key in the form that it has', () => {
    const entry = { name: 'b', scopes: ['metrics' as const], hash: hashOf('y') };
    for (const text of ['', fileOf({ name: 'a', hash: hashOf('x') }), `# ours\n${hashOf('x')} a`]) {
      const more = withKey(text, entry);
      expect(more.startsWith('# ours\n')).toBe(text.startsWith('#'));
      expect(parseKeyFile(more)).toEqual([
        ...parseKeyFile(text),
        { name: 'b', scopes: ['metrics'], digest: digestOf('y'), source: 'file' },
      ]);
    }
  });
});

describe('a key ring', () => {
  it('finds keys of both sources, and those of the file with their scopes', () => {
    writeFileSync(file, fileOf({ name: 'boss', scopes: ['admin'], hash: hashOf('from file') }));
    ring = createKeyRing({ keys: ['given'], file });
    expect(ring.find('from file')).toMatchObject({ name: 'boss', scopes: ['admin'] });
    expect(ring.find('given')).toMatchObject({ name: 'api-key-1', scopes: ['inference'] });
    for (const wrong of ['', 'give', 'given ', hashOf('from file')]) expect(ring.find(wrong)).toBeUndefined();
    expect([ring.offers('admin'), ring.offers('metrics')]).toEqual([true, false]);
  });

  it('with a file without keys lets nobody in; without a file and keys it asks for none', () => {
    writeFileSync(file, '{"keys": []}');
    ring = createKeyRing({ file, logger: createLogger({ level: 'silent' }) });
    expect(ring.required).toBe(true);
    expect(createKeyRing({ keys: [] }).required).toBe(false);
  });

  it('does not begin with a file that is missing or broken, and says what to do', () => {
    expect(() => createKeyRing({ file })).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('keys create') }),
    );
    writeFileSync(file, 'sk-plain');
    expect(() => createKeyRing({ file })).toThrow(`${file}: line 1: hash must be`);
  });

  it('reads the file again when it changes; keeps its keys when that is broken or gone', async () => {
    writeFileSync(file, fileOf({ name: 'old', hash: hashOf('old') }));
    const logger = createLogger({ level: 'silent' });
    const errors = vi.spyOn(logger, 'error');
    ring = createKeyRing({ file, logger });
    const { find } = ring;

    writeFileSync(file, '{"keys"');
    await vi.waitFor(() => expect(errors).toHaveBeenCalledTimes(1), 10_000);
    expect(find('old')).toBeDefined();
    expect(() => ring?.reload()).toThrow('not valid JSON');
    rmSync(file);
    await vi.waitFor(() => expect(errors).toHaveBeenCalledTimes(2), 10_000);
    expect(find('old')).toBeDefined();

    writeFileSync(file, fileOf({ name: 'new', hash: hashOf('new') }));
    await vi.waitFor(() => expect(find('new')).toBeDefined(), 10_000);
    expect(find('old')).toBeUndefined();
  });
});

it('new keys are long, random, and can be sent as they are', () => {
  const keys = Array.from({ length: 100 }, newApiKey);
  expect(new Set(keys).size).toBe(100);
  for (const key of keys) expect(key).toMatch(/^sk-quire-[\w-]{43}$/);
});
