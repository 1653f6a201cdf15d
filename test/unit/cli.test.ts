import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type BannerFacts, banner } from '../../src/cli/banner.js';
import { CliError, describeError } from '../../src/cli/cli-error.js';
import { parseNumber, parsePort } from '../../src/cli/flags.js';
import { formatBytes } from '../../src/cli/format.js';
import { inheritedSockets } from '../../src/cli/inherited-sockets.js';
import { writePidFile } from '../../src/cli/pid-file.js';
import { checkReusePort } from '../../src/cli/reuse-port.js';
import { serveCommand } from '../../src/cli/serve.js';

const facts: BannerFacts = {
  version: '1.2.3',
  url: 'http://127.0.0.1:9000',
  modelName: 'tiny',
  needsApiKey: false,
  info: {
    modelPath: '/models/tiny.gguf',
    modelDescription: 'llama 1M Q8_0',
    parameters: 1_000_000,
    weightBytes: 3 * 1024 * 1024,
    vocabSize: 256,
    embeddingSize: 4,
    pooling: 'last',
    maxModelLen: 2048,
    blockSize: 16,
    numBlocks: 1000,
    kvCacheBytes: 64 * 1024 * 1024,
    maxNumSeqs: 8,
    maxNumBatchedTokens: 512,
    threads: 2,
    kvBackend: 'pages',
    kvBackendReason: 'they serve this model',
    kvCacheDtype: 'f16',
    kernel: 'avx512',
    cpuBackend: 'zen4',
    batchInvariant: true,
    batchInvariantReason: 'Q8_0 rows do not depend on each other',
    rowPadding: 1,
    lanes: 1,
    loadMs: 10,
  },
};

describe('the start-up banner', () => {
  it('says which model runs with which sizes, and why answers are (not) exact', () => {
    const text = banner(facts);
    for (const part of ['http://127.0.0.1:9000', 'tiny', '3.0 MiB', '2,048 tokens', '1,000 pages of 16', '64 MiB']) {
      expect(text).toContain(part);
    }
    expect(text).toContain('KV pages: they serve this model');
    const onCells = banner({ ...facts, info: { ...facts.info, kvBackend: 'cells', kvBackendReason: 'no compiler' } });
    expect(onCells).toContain("llama.cpp's own KV cells: no compiler");
    expect(text).toContain('bit-identical alone and in a crowd: Q8_0 rows');
    expect(text).toContain('2 threads\n');
    const inLanes = banner({ ...facts, info: { ...facts.info, lanes: 2 } });
    expect(inLanes).toContain('2 threads, in 2 lanes where a step is large\n');
    expect(banner({ ...facts, info: { ...facts.info, batchInvariant: false } })).toContain('may differ in a crowd');
  });

  it('ends with a request whose body is JSON for this model, and which names the key only where one is wanted', () => {
    const body = banner(facts).match(/-d '(.*)'/)?.[1];
    expect(JSON.parse(body!)).toEqual({
      model: 'tiny',
      messages: [{ role: 'user', content: 'What is gravity?' }],
      stream: true,
    });
    expect(banner(facts)).not.toContain('authorization');
    expect(banner({ ...facts, needsApiKey: true })).toContain("-H 'authorization: Bearer YOUR_KEY'");
  });
});

describe('messages of the command line', () => {
  it('show an error as a line and its hint below, never a stack', () => {
    expect(describeError(new CliError('no such file', { hint: 'Check the path.' }))).toBe(
      'quire: no such file\n  Check the path.\n',
    );
    expect(describeError(new Error('broken'))).toBe('quire: broken\n');
    expect(describeError('odd')).toBe('quire: odd\n');
  });

  it('show bytes in the unit that fits', () => {
    expect([0, 1023, 1024, 1536, 98_362_432, 2 ** 40].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '94 MiB',
      '1.0 TiB',
    ]);
  });
});

describe('flag values', () => {
  it('are numbers only when the whole text is one', () => {
    expect(parseNumber('0.5')).toBe(0.5);
    for (const bad of ['', ' ', 'abc', '1x', 'Infinity', 'NaN'])
      expect(() => parseNumber(bad)).toThrow('must be a number');
  });

  it('are ports only from 0 to 65535', () => {
    expect([parsePort('0'), parsePort('65535')]).toEqual([0, 65535]);
    for (const bad of ['-1', '65536', '80.5', 'http']) expect(() => parsePort(bad)).toThrow();
  });
});

describe('sockets of systemd', () => {
  it('are those that are meant for this process, and are not passed on', () => {
    const environment = { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b', PATH: '/bin' };
    expect(inheritedSockets({ ...environment }, 41)).toEqual([]);
    expect(inheritedSockets(environment, 42)).toEqual([{ fd: 3 }, { fd: 4 }]);
    expect(environment).toEqual({ PATH: '/bin' });
    expect(() => inheritedSockets({ LISTEN_PID: '42', LISTEN_FDS: 'x' }, 42)).toThrow('LISTEN_FDS is x');
  });
});

describe('--reuse-port', () => {
  it('is for the versions of Node.js that know it', () => {
    for (const version of ['22.12.0', '23.1.0', '24.0.0']) checkReusePort(version);
    for (const version of ['20.19.0', '22.11.9', '23.0.0'])
      expect(() => checkReusePort(version)).toThrow('needs Node.js');
  });
});

describe('a pid file', () => {
  it('is removed by the process that it names, and by no other', () => {
    const folder = mkdtempSync(join(tmpdir(), 'quire-pid-'));
    try {
      const path = join(folder, 'pid');
      const remove = writePidFile(path);
      expect(readdirSync(folder)).toEqual(['pid']);
      expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`);
      writeFileSync(path, '1\n');
      remove();
      expect(readFileSync(path, 'utf8')).toBe('1\n');
      const again = writePidFile(path);
      again();
      expect(readdirSync(folder)).toEqual([]);
      expect(() => writePidFile(join(folder, 'no', 'pid'))).toThrow('--pid-file');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('the README', () => {
  it('lists the flags of serve with their defaults', () => {
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
    const rows = readme.split('\n').flatMap((line) => {
      const [, flags, defaultValue] = line.match(/^\| `(--[^`]+)`\s+\| (?:`([^`]+)`)?/) ?? [];
      return flags === undefined ? [] : [[flags, defaultValue]];
    });
    expect(rows).toEqual(serveCommand().options.map(({ flags, defaultValue }) => [flags, defaultValue?.toString()]));
  });
});
