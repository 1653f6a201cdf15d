import { resolveModel } from '../src/serving/models/index.js';
import { RANDOM_MODELS, randomModel } from './random-model.js';
import type { StepProgress } from './step-progress.js';

/** A model file for the servers. */
export interface BenchModel {
  name: string;
  /** What Quire loads. */
  path: string;
  /** The file as its makers publish it; differs from `path` where Quire re-encodes weights that are slow here. */
  originalPath: string;
}

/** One of the random models by name, or anything that `quire serve` takes: a path, a catalog name, `hf:…`, a URL. */
export async function benchModel(reference: string, onProgress: StepProgress): Promise<BenchModel> {
  const random = RANDOM_MODELS.find((model) => model.name === reference);
  if (random) {
    const label = `preparing ${random.name}`;
    onProgress(label, 0);
    const path = await randomModel(random);
    onProgress(label, 1);
    return { name: random.name, path, originalPath: path };
  }
  const resolve = (requantize: 'auto' | 'off') =>
    resolveModel(reference, {
      requantize,
      onProgress: ({ phase, name, done, total }) => onProgress(`${phase} ${name}`, total > 0 ? done / total : 0),
    });
  const { path, name, requantizedFrom } = await resolve('auto');
  const original = await resolve('off');
  const described = requantizedFrom === undefined ? name : `${name}, re-encoded from ${requantizedFrom}`;
  return { name: described, path, originalPath: original.path };
}
