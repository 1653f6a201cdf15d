import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { mkdir, rm, stat } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { FILE_TYPES } from '../../llama/index.js';
import { hashFile } from './checksum.js';
import { ModelResolveError } from './errors.js';
import { GGML_TYPES } from './ggml-types.js';
import type { GgufTensor, WeightType } from './gguf.js';
import { obtain, type StoreOptions, storeFolder } from './store.js';

/**
 * Weight types for which llama.cpp's CPU backend has neither repacked nor tiled matrix products. Measured on x86-64 with
 * AVX-512, SmolLM2-135M, 2 threads, ms for a prefill of 512 tokens / a decode of 32 rows: Q8_0 740 / 64, Q4_1 1630 / 126,
 * Q5_1 1960 / 123; but Q5_0 930 / 69, which is not worth half as much memory again.
 */
const SLOW_TYPES = new Set(['Q4_1', 'Q5_1']);

/** Loses next to nothing (KL divergence to a Q4_1 original 7e-3, perplexity unchanged) and is fast on every CPU. */
const FAST_TYPE = 'Q8_0';

/** Slow tensors below this share of the bytes cost too little time to be worth the memory. */
const SLOW_SHARE = 0.25;

export interface Requantization {
  from: string;
  to: string;
  reason: string;
}

/**
 * What `--requantize` does to a model: `auto`, `off`, or a weight type that is forced on it.
 *
 * @throws ModelResolveError for a weight type that does not exist.
 */
export function planRequantization(weightTypes: readonly WeightType[], mode: string): Requantization | undefined {
  const main = weightTypes[0]?.type;
  if (mode === 'off' || main === undefined) return undefined;
  if (mode !== 'auto') {
    if (!Object.hasOwn(FILE_TYPES, mode)) {
      const types = Object.keys(FILE_TYPES).join(', ');
      throw new ModelResolveError(`${mode} is not a weight type`, `--requantize takes auto, off, or one of: ${types}.`);
    }
    return mode === main ? undefined : { from: main, to: mode, reason: `asked for with --requantize ${mode}` };
  }
  const bytes = (types: readonly WeightType[]) => types.reduce((sum, type) => sum + type.bytes, 0);
  const slow = weightTypes.filter(({ type }) => SLOW_TYPES.has(type));
  if (slow.length === 0 || bytes(slow) < SLOW_SHARE * bytes(weightTypes)) return undefined;
  const from = slow[0]!.type;
  return { from, to: FAST_TYPE, reason: `llama.cpp has no fast CPU code for ${from}; --requantize off keeps it` };
}

export interface RequantizeOptions extends StoreOptions {
  /** CPU threads; 0: all. */
  threads: number;
}

/**
 * Path of the model with weights of another type, re-encoded into the cache unless it is there already.
 *
 * @param model First file of the model, its tensors, and what the result's name begins with.
 * @param identity What tells this model from others, and changes with its contents.
 * @throws ModelResolveError
 */
export async function requantize(
  model: { path: string; tensors: readonly GgufTensor[]; name: string },
  type: string,
  identity: string,
  options: RequantizeOptions,
): Promise<string> {
  const source = `requantized ${model.name} ${type} ${identity}`;
  const name = `${model.name}-${type}.gguf`;
  await obtain(source, options, async (folder, signal) => {
    // What a killed process left unfinished is as large as the model.
    await rm(folder, { recursive: true });
    await mkdir(folder);
    const target = join(folder, name);
    const expected = expectedBytes(model.tensors, type);
    const report = (done: number, total: number) => options.onProgress?.({ phase: 'requantize', name, done, total });
    report(0, expected);
    const timer = setInterval(() => report(largestFile(folder), expected), 200);
    try {
      await runProcess([model.path, target, type, String(options.threads || availableParallelism())], signal);
    } catch (error) {
      signal.throwIfAborted();
      await rm(target, { force: true });
      const { stderr, message } = error as { stderr?: string; message: string };
      throw new ModelResolveError(
        stderr?.trim().split('\n').at(-1) || message,
        'Use the model as it is: --requantize off.',
      );
    } finally {
      clearInterval(timer);
    }
    const { size } = await stat(target);
    report(size, size);
    return [{ name, sha256: (await hashFile(target, { signal })).digest('hex') }];
  });
  return join(storeFolder(source), name);
}

async function runProcess(args: string[], signal: AbortSignal): Promise<void> {
  // Run from sources, as tests do, the program is still the compiled one: node takes no TypeScript.
  const entry = import.meta.url.endsWith('.ts')
    ? '../../../dist/serving/models/requantize-process.js'
    : './requantize-process.js';
  await promisify(execFile)(process.execPath, [fileURLToPath(new URL(entry, import.meta.url)), ...args], { signal });
}

/** Bytes after re-encoding, for a progress bar; 0 for types that mix several. */
function expectedBytes(tensors: readonly GgufTensor[], typeName: string): number {
  const type = [...GGML_TYPES.values()].find(({ name }) => name === typeName);
  if (!type) return 0;
  const elements = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, n) => product * n, 1), 0);
  return Math.round((elements / type.blockSize) * type.blockBytes);
}

/** The folder holds nothing but the model that is being written, under the name it has while that lasts. */
function largestFile(folder: string): number {
  try {
    return Math.max(0, ...readdirSync(folder).map((name) => statSync(join(folder, name)).size));
  } catch {
    // A file was renamed in between, or the folder is gone: no reason to fail for a progress bar.
    return 0;
  }
}
