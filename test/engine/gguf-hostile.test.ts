import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRandom } from '../../bench/random.js';
import { checkModel } from '../../src/serving/models/check-model.js';
import { engineConfig } from '../support/engine-requests.js';
import { headerFields, hostileNumbers, type Mutation, randomBytes } from '../support/gguf-mutations.js';
import { writeRandomModel } from '../support/random-model.js';

/** Files that pass our checks and are then loaded; QUIRE_GGUF_LOADS loads more of them, QUIRE_SEED others. */
const LOADS = Number(process.env.QUIRE_GGUF_LOADS ?? 60);
const SEED = Number(process.env.QUIRE_SEED ?? 1);
const HANG_MS = 60_000;

const LOADER = fileURLToPath(new URL('../support/load-hostile.mjs', import.meta.url));
const SHAPE = { layers: 2, headSize: 16, heads: 4, kvHeads: 2 };

let folder: string;
let path: string;
let whole: Buffer;
let child: ChildProcess | undefined;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'quire-hostile-'));
  path = join(folder, 'hostile.gguf');
  writeRandomModel(path, SHAPE);
  whole = readFileSync(path);
});

afterAll(() => {
  child?.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
});

/** What becomes of the file: a server loads it, refuses it, or (undefined) its process ends. */
async function load(): Promise<{ loaded: boolean; message?: string } | undefined> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
    const config = engineConfig({ threads: 1, maxModelLen: 128, maxNumSeqs: 2, kvCacheBytes: 2 ** 20 });
    child = fork(LOADER, [JSON.stringify(config)], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] });
  }
  child.send(path);
  const abort = new AbortController();
  const hang = setTimeout(() => child?.kill('SIGKILL'), HANG_MS);
  try {
    return await Promise.race([
      once(child, 'message', { signal: abort.signal }).then(([answer]) => answer),
      once(child, 'exit', { signal: abort.signal }).then(() => undefined),
    ]);
  } finally {
    clearTimeout(hang);
    abort.abort();
  }
}

/** Whether our checks let the file pass. */
async function passes(): Promise<boolean> {
  return await checkModel([path]).then(
    () => true,
    () => false,
  );
}

describe('a hostile GGUF file that passes the checks', () => {
  it(`is loaded or refused by llama.cpp, ${LOADS} of them, and ends no process (QUIRE_SEED=${SEED})`, async () => {
    const { fields, headerBytes } = headerFields(whole);
    const numbers = [...hostileNumbers(whole, fields)].map((mutation): Mutation[] => [mutation]);
    // Lengths of tokens and merges are most of all, and nearly all are refused.
    const values = numbers.filter(([mutation]) => !/\]: length/.test(mutation!.name));
    const random = createRandom(`loads/${SEED}`);
    const shuffled = values.map((value) => [random.uniform(), value] as const).sort(([a], [b]) => a - b);
    const changes = [...shuffled.map(([, value]) => value), ...randomBytes(headerBytes, 10 * LOADS, SEED)];

    const crashes: string[] = [];
    const counts = { loaded: 0, refused: 0 };
    for (const mutations of changes) {
      if (counts.loaded + counts.refused + crashes.length >= LOADS) break;
      const bytes = Buffer.from(whole);
      for (const mutation of mutations) bytes.set(mutation.bytes, mutation.at);
      writeFileSync(path, bytes);
      if (!(await passes())) continue;
      const answer = await load();
      if (answer === undefined) crashes.push(mutations.map(({ name }) => name).join(', '));
      else counts[answer.loaded ? 'loaded' : 'refused']++;
    }
    expect(crashes).toEqual([]);
    expect(counts.loaded).toBeGreaterThan(LOADS / 10);
  }, 600_000);

  it('is loaded when nothing is wrong with it', async () => {
    writeFileSync(path, whole);
    expect(await load()).toEqual({ loaded: true });
  });
});
