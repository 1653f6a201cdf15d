import { buildKernel, PAGE_TOKENS, type PagedAttentionOptions, type PageShape } from '../../src/attention/index.js';
import { openSelection } from '../../src/engine/open-selection.js';
import { pageShapeFor } from '../../src/engine/page-support.js';
import { type Llama, type LlamaModel, loadLlama, type ThreadPool } from '../../src/llama/index.js';
import type { TokenSelection } from '../../src/selection/index.js';
import { createRandom } from '../random.js';

/** A model in this process and the threads that compute it; contexts of all kinds share them and take turns. */
export interface Rig {
  llama: Llama;
  model: LlamaModel;
  threads: number;
  threadPool: ThreadPool;
  selection: TokenSelection;
  pageShape: PageShape;
  /** What page memory with room for this many tokens is opened with. */
  pageMemory(tokens: number): PagedAttentionOptions;
  /** Frees the model and its threads; contexts, and after them their page memory, must be freed before. */
  dispose(): void;
}

/** @throws LlamaError, KernelBuildError */
export async function openRig(modelPath: string, threads: number): Promise<Rig> {
  const kernel = await buildKernel();
  const llama = loadLlama({ device: 'cpu' });
  // As the engine loads weights that are not large.
  const model = llama.loadModel(modelPath, { loadMode: 'none' });
  const threadPool = llama.createThreadPool(threads, { polling: 0 });
  const libraries = { kernel: kernel.path, ggmlBaseLibrary: llama.ggmlBaseLibrary };
  const pageShape = pageShapeFor(model, 'i16', libraries);
  return {
    llama,
    model,
    threads,
    threadPool,
    pageShape,
    selection: await openSelection(model.vocab.size),
    pageMemory: (tokens) => ({ shape: pageShape, pages: Math.ceil(tokens / PAGE_TOKENS), threads, ...libraries }),
    dispose() {
      model.dispose();
      threadPool.dispose();
    },
  };
}

/** Token ids that stand for text, the same every time: what caches under test are filled with. */
export function benchTokens(count: number, vocabSize: number): Int32Array {
  const random = createRandom('bench tokens');
  return Int32Array.from({ length: count }, () => random.integer(Math.min(1_000, vocabSize >> 1), vocabSize));
}
