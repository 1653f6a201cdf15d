import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { buildKernel, KernelBuildError, PAGE_TOKENS, pageBytes, supportsHeadSize } from '../../src/attention/index.js';

let cache: string;

beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'quire-kernel-'));
  vi.stubEnv('QUIRE_CACHE', cache);
});

afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(cache, { recursive: true });
});

test('the kernel is compiled once and found afterwards', async () => {
  const lines: string[] = [];
  const first = await buildKernel({ onProgress: (line) => lines.push(line) });
  const second = await buildKernel({ onProgress: (line) => lines.push(line) });
  expect(first.cached).toBe(false);
  expect(second).toMatchObject({ cached: true, path: first.path, compiler: first.compiler });
  expect(lines).toEqual([`compiling the attention kernel with ${first.compiler}`]);
  expect((await stat(first.path)).size).toBeGreaterThan(0);
});

test('two builds at the same time leave one whole library', async () => {
  const [a, b] = await Promise.all([buildKernel(), buildKernel()]);
  expect(a.path).toBe(b.path);
  expect(await readdir(dirname(a.path))).toHaveLength(1);
});

test('where there is no compiler, the error says how to get one', async () => {
  vi.stubEnv('CC', 'no-such-compiler');
  const build = buildKernel();
  await expect(build).rejects.toThrow(KernelBuildError);
  await expect(build).rejects.toMatchObject({
    message: expect.stringContaining('no-such-compiler'),
    hint: expect.stringContaining('apt install gcc'),
  });
});

test('a page takes two bytes for each number in keys and values of 16 tokens in all layers, and i16 pages a scale for each', () => {
  const shape = { layers: 30, kvHeads: 3, headSize: 64 };
  expect(pageBytes({ ...shape, type: 'f16' })).toBe(PAGE_TOKENS * 30 * 3 * 64 * 2 * 2);
  expect(pageBytes({ ...shape, type: 'i16' })).toBe(PAGE_TOKENS * 30 * 3 * (64 * 2 + 4) * 2);
});

test.each([
  ['f16', 16],
  ['i16', 16],
  ['q8_0', 32],
] as const)('head sizes of %s pages are multiples of %i up to 256', (type, multiple) => {
  const supported = Array.from({ length: 300 }, (_, i) => i).filter((size) => supportsHeadSize(size, type));
  expect(supported).toEqual(Array.from({ length: 256 / multiple }, (_, i) => multiple * (i + 1)));
});
