import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadLlama } from '../../src/llama/index.js';
import { DEFAULT_MODEL, inspectGguf, type ResolveProgress, resolveModel } from '../../src/serving/models/index.js';
import { defaultModelPath } from '../support/default-model.js';
import { randomModelPath } from '../support/random-model.js';
import { writeTinyGguf } from '../support/tiny-gguf.js';

describe('the default model', () => {
  let path: string;

  beforeAll(async () => {
    path = await defaultModelPath();
  });

  it('is a chat model with weights of a fast type', async () => {
    const info = await inspectGguf(path);
    expect(info.architecture).toBe('llama');
    expect(info.metadata.get('tokenizer.chat_template')).toContain('<|im_start|>');
    expect(info.metadata.get('tokenizer.ggml.tokens')).toEqual({ arrayOf: 'string', length: 49_152 });
    expect(['Q8_0', 'Q4_0']).toContain(info.weightTypes[0]!.type);
  });

  it('is there without a network, the same file again', async () => {
    const resolved = await resolveModel(DEFAULT_MODEL, { offline: true });
    expect(resolved).toMatchObject({ path, name: 'SmolLM2-135M-Instruct' });
  });
});

describe('re-encoding', () => {
  let slow: string;
  let folder: string;
  let model: string;

  beforeAll(async () => {
    slow = await randomModelPath({ headSize: 16, heads: 4, kvHeads: 2, type: 'Q4_1' });
  });

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'quire-requantize-'));
    vi.stubEnv('QUIRE_CACHE', join(folder, 'cache'));
    model = join(folder, 'Slow.Q4_1.gguf');
    copyFileSync(slow, model);
  });

  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
  });

  it('makes a model with weights of a slow type fast, once, and says so', async () => {
    const progress: ResolveProgress[] = [];
    const first = await resolveModel(model, { onProgress: (p) => progress.push(p) });
    expect(first).toMatchObject({ name: 'Slow', source: model, requantizedFrom: 'Q4_1' });
    expect(first.notes).toEqual([expect.stringMatching(/^Slow .*Q4_1 to Q8_0.*--requantize off/)]);
    expect(basename(first.path)).toBe('Slow-Q8_0.gguf');
    expect((await inspectGguf(first.path)).weightTypes[0]!.type).toBe('Q8_0');
    expect(progress[0]).toMatchObject({ phase: 'requantize', name: 'Slow-Q8_0.gguf', done: 0 });
    expect(progress.at(-1)!.done).toBe(statSync(first.path).size);
    loadLlama({ device: 'cpu' }).loadModel(first.path, {}).dispose();

    const { mtimeMs } = statSync(first.path);
    expect(await resolveModel(model)).toEqual(first);
    expect(statSync(first.path).mtimeMs).toBe(mtimeMs);
    expect(readdirSync(dirname(first.path)).sort()).toEqual(['Slow-Q8_0.gguf', 'verified.json']);
  });

  it('is done again when the original changes, and when the copy is damaged', async () => {
    const { path } = await resolveModel(model);
    utimesSync(model, 1, 1);
    const second = await resolveModel(model);
    expect(second.path).not.toBe(path);

    const bytes = readFileSync(second.path);
    writeFileSync(second.path, bytes.subarray(0, 1000));
    expect((await resolveModel(model)).path).toBe(second.path);
    expect(readFileSync(second.path).equals(bytes)).toBe(true);
  });

  it('is done once when two ask for it at the same time', async () => {
    const [one, other] = await Promise.all([resolveModel(model), resolveModel(model)]);
    expect(one).toEqual(other);
  });

  it('does what --requantize says', async () => {
    expect(await resolveModel(model, { requantize: 'off' })).toMatchObject({ path: model, notes: [] });
    const forced = await resolveModel(model, { requantize: 'Q4_0' });
    expect((await inspectGguf(forced.path)).weightTypes[0]!.type).toBe('Q4_0');
  });

  it('stops when aborted, and passes on why it failed', async () => {
    const abort = new AbortController();
    const aborted = resolveModel(model, { signal: abort.signal, onProgress: () => abort.abort(new Error('enough')) });
    await expect(aborted).rejects.toThrow('enough');
    writeTinyGguf(model, { 'general.architecture': { type: 'string', value: 'nonsense' } });
    await expect(resolveModel(model, { requantize: 'Q4_0' })).rejects.toMatchObject({
      name: 'ModelResolveError',
      message: expect.stringContaining("unknown model architecture: 'nonsense'"),
      hint: expect.stringContaining('--requantize off'),
    });
  });
});
