import { basename } from 'node:path';
import { checkModel } from './check-model.js';
import { servedName } from './file-name.js';
import { weightTypesOf } from './gguf.js';
import { locateModel } from './locate.js';
import type { OnProgress } from './progress.js';
import { planRequantization, requantize } from './requantize.js';

export interface ResolveOptions {
  /** Use what is in the cache; ask no server. Default false. */
  offline?: boolean;
  /**
   * `auto` (default) re-encodes weights of a type that llama.cpp's CPU backend is slow with, once, into the cache; `off`
   * never does; a weight type such as `Q8_0` is forced.
   */
  requantize?: string;
  /** CPU threads for re-encoding; 0 (default): all. */
  threads?: number;
  onProgress?: OnProgress;
  signal?: AbortSignal;
}

export interface ResolvedModel {
  /** The model's file, or the first of several. */
  path: string;
  /** A short name to serve it under, e.g. `SmolLM2-135M-Instruct`. */
  name: string;
  /** Where it was found: a path, a URL, or what names it there. */
  source: string;
  /** The weight type the original has, when `path` is a re-encoded copy. */
  requantizedFrom?: string;
  /** Lines to show the user. */
  notes: string[];
}

/**
 * Finds the model that `reference` means, fetching it into the cache if it is not there, checks that it is whole, and
 * re-encodes it where that makes it much faster.
 *
 * @param reference A path, `hf:user/repo[:quant]`, `hf:user/repo/file.gguf`, an https URL, or a name from the catalog.
 * @throws ModelResolveError, mostly with a hint; an AbortError or the signal's reason when aborted.
 */
export async function resolveModel(reference: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const { offline = false, requantize: mode = 'auto', threads = 0, onProgress, signal } = options;
  const { paths, name, source, identity } = await locateModel(reference, { offline, onProgress, signal });
  const tensors = await checkModel(paths);
  const original = { path: paths[0]!, name, source };
  const plan = planRequantization(weightTypesOf(tensors), mode);
  if (!plan) return { ...original, notes: [] };

  const model = { path: original.path, tensors, name: servedName(basename(original.path)) };
  const path = await requantize(model, plan.to, identity, { threads, onProgress, signal });
  await checkModel([path]);
  const note = `${name} runs from a copy re-encoded from ${plan.from} to ${plan.to}: ${plan.reason}`;
  return { ...original, path, requantizedFrom: plan.from, notes: [note] };
}
