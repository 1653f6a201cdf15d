import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { FileType } from '../src/llama/index.js';
import { readGgufMetadata } from '../test/support/gguf-reader.js';
import { type RandomModelOptions, writeRandomModel } from '../test/support/random-model.js';
import { llamaCppSources } from './llama-cpp.js';

/**
 * Models with the shapes of real ones and random weights: speed does not depend on what the weights say. The file types
 * are those that llama.cpp's quantizer chooses for Q4_0: matrices in Q4_0, the embedding (which is the output matrix as
 * well) in Q8_0, since its rows are no multiple of 256.
 */
export interface RandomModelShape {
  name: string;
  /** A file of llama.cpp's `models/` that has the vocabulary and nothing else. */
  vocabulary: string;
  shape: RandomModelOptions;
}

const COMMON: RandomModelOptions = { headSize: 64, contextLength: 8_192, tied: true, seed: 1 };

export const RANDOM_MODELS: readonly RandomModelShape[] = [
  {
    // The shape of SmolLM2-135M.
    name: 'random-135m',
    vocabulary: 'ggml-vocab-gpt-2.gguf',
    shape: { ...COMMON, layers: 30, heads: 9, kvHeads: 3, feedForwardSize: 1_536 },
  },
  {
    // The shape of Qwen2.5-0.5B, as a llama network.
    name: 'random-0.5b',
    vocabulary: 'ggml-vocab-qwen2.gguf',
    shape: { ...COMMON, layers: 24, heads: 14, kvHeads: 2, feedForwardSize: 4_864 },
  },
];

/** For comparing weight types: rows are multiples of 256, as K types need, so that a file has one type throughout. */
export const TYPED_MODEL: RandomModelShape = {
  name: 'random-100m',
  vocabulary: 'ggml-vocab-gpt-2.gguf',
  shape: { ...COMMON, layers: 12, heads: 12, kvHeads: 4, feedForwardSize: 2_048 },
};

/** Path of the model's file; written on first use, which takes seconds, and kept in the cache. */
export async function randomModel(
  { name, vocabulary, shape }: RandomModelShape,
  type: FileType = 'Q4_0',
): Promise<string> {
  const source = await llamaCppSources();
  const path = join(dirname(source), `${name}-${type.toLowerCase()}.gguf`);
  if (existsSync(path)) return path;
  const metadata = readGgufMetadata(join(source, 'models', vocabulary));
  const tokenizer = new Map([...metadata].filter(([key]) => key.startsWith('tokenizer.')));
  const unfinished = `${path}.${process.pid}`;
  writeRandomModel(unfinished, { ...shape, type, tokenizer });
  await rename(unfinished, path);
  return path;
}
