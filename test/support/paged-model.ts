import { buildKernel, PAGE_TOKENS, PagedAttention, type PageShape, type PageType } from '../../src/attention/index.js';
import { Executor } from '../../src/engine/executor.js';
import { pageShapeFor } from '../../src/engine/page-support.js';
import { computeAlone } from '../../src/engine/self-test.js';
import { type KVType, type LlamaModel, type LoadMode, loadLlama } from '../../src/llama/index.js';

/** A model that can compute prompts through pages and through llama.cpp's own attention. */
export interface PagedModel {
  model: LlamaModel;
  shape: PageShape;
  /** Logits after a prompt that is computed in pieces of these lengths, each time in pages that were not used before. */
  throughPages(tokens: Int32Array, pieces: number[]): Float32Array;
  /** @param type how llama.cpp's cells store keys and values */
  throughStock(tokens: Int32Array, pieces: number[], type?: KVType): Float32Array;
  dispose(): void;
}

export interface PagedModelOptions {
  /** Longest prompt. */
  mostTokens: number;
  /** How pages store keys and values. */
  type?: PageType;
  loadMode?: LoadMode;
}

/** A prime, so that any step through them meets all. */
const PAGES = 1021;
const ROW_PADDING = 4;

export async function openPagedModel(path: string, options: PagedModelOptions): Promise<PagedModel> {
  const { mostTokens, type = 'i16', loadMode } = options;
  const llama = loadLlama({ device: 'cpu' });
  const model = llama.loadModel(path, { loadMode });
  const libraries = { kernel: (await buildKernel()).path, ggmlBaseLibrary: llama.ggmlBaseLibrary };
  const shape = pageShapeFor(model, type, libraries);
  const attention = new PagedAttention({ shape, pages: PAGES + 1, threads: 1, ...libraries });
  const { evalCallback, evalCallbackData } = attention;
  const batchSize = mostTokens + ROW_PADDING;
  const sizes = { batchSize, maxSequences: 2, maxOutputs: ROW_PADDING, threads: 1 };
  const context = model.createContext({ ...sizes, evalCallback, evalCallbackData });
  const stock = {
    f16: model.createContext({ ...sizes, kvType: 'f16' }),
    q8_0: model.createContext({ ...sizes, kvType: 'q8_0' }),
  };
  const executor = new Executor({
    context,
    attention,
    blockSize: PAGE_TOKENS,
    scratchPage: PAGES,
    rowPadding: ROW_PADDING,
  });

  let pagesUsed = 0;
  /** Scattered over the memory. */
  const unusedPages = (count: number): number[] =>
    Array.from({ length: count }, () => {
      if (pagesUsed === PAGES) throw new Error('the test needs more pages');
      return (pagesUsed++ * 307) % PAGES;
    });

  return {
    model,
    shape,
    throughPages(tokens, pieces) {
      const blocks = unusedPages(Math.ceil(tokens.length / PAGE_TOKENS));
      let start = 0;
      for (const count of pieces) {
        executor.run([{ tokens, start, count, blocks, wantsLogits: true }]);
        start += count;
      }
      if (start !== tokens.length) throw new Error(`${start} of ${tokens.length} tokens were computed`);
      return executor.logits(0).slice();
    },
    throughStock: (tokens, pieces, cellType = 'f16') => computeAlone(stock[cellType], tokens, pieces),
    dispose() {
      model.dispose();
      attention.dispose();
    },
  };
}
