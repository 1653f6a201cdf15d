/** What of llama.cpp's own graphs, of models as it builds them, is left to it. */
import koffi from 'koffi';
import { expect, test } from 'vitest';
import { buildKernel, PAGE_TOKENS, PagedAttention } from '../../src/attention/index.js';
import { Executor } from '../../src/engine/executor.js';
import { pageShapeFor } from '../../src/engine/page-support.js';
import { loadLlama } from '../../src/llama/index.js';
import { defaultModelPath } from '../support/default-model.js';
import { pseudoRandomTokens } from '../support/engine-requests.js';
import { type ArchitectureName, architecturePath } from '../support/random-architectures.js';

const EVAL_CALLBACK = koffi.proto('bool rewritten_eval_callback(void *node, bool ask, void *data)');

/** How many nodes of each of these kinds remain in the graph of a step of `rows` rows. */
async function remaining(path: string, rows: number, kinds: readonly string[]): Promise<number[]> {
  const llama = loadLlama({ device: 'cpu' });
  const model = llama.loadModel(path, {});
  const libraries = { kernel: (await buildKernel()).path, ggmlBaseLibrary: llama.ggmlBaseLibrary };
  const shape = pageShapeFor(model, 'i16', libraries);
  const attention = new PagedAttention({ shape, pages: 4, threads: 1, ...libraries });
  const nodes: bigint[] = [];
  const callback = (node: bigint, ask: boolean): boolean => {
    nodes.push(node);
    return koffi.call(attention.evalCallback, EVAL_CALLBACK, node, ask, attention.evalCallbackData);
  };
  const pointer = koffi.register(callback, koffi.pointer(EVAL_CALLBACK));
  const context = model.createContext({
    ...{ batchSize: 64, maxSequences: 2, maxOutputs: 8, threads: 1 },
    ...{ evalCallback: pointer, evalCallbackData: 0n },
  });
  const executor = new Executor({ context, attention, blockSize: PAGE_TOKENS, scratchPage: 3, rowPadding: 1 });
  executor.run([
    { tokens: pseudoRandomTokens(rows, 7, model.vocab.size), start: 0, count: rows, blocks: [0, 1], wantsLogits: true },
  ]);
  const kindOf = koffi.load(llama.ggmlBaseLibrary).func('const char *ggml_op_desc(const void *node)');
  const found = nodes.map((node) => kindOf(node) as string);
  context.dispose();
  koffi.unregister(pointer);
  attention.dispose();
  model.dispose();
  expect(found).toContain('CUSTOM');
  return kinds.map((kind) => found.filter((one) => one === kind).length);
}

test.each([1, 20])('of the default model, nothing in a step of %i rows', async (rows) => {
  const path = await defaultModelPath();
  expect(await remaining(path, rows, ['RMS_NORM', 'ROPE', 'FLASH_ATTN_EXT', 'SET_ROWS'])).toEqual([0, 0, 0, 0]);
});

test.each<[ArchitectureName, number, string]>([
  ['qwen 2', 0, 'none'],
  ['qwen 3', 0, 'none'],
  ['gpt-oss', 0, 'none'],
  ['llama 3', 2, 'of keys: their product cannot be written over what it reads'],
  ['mistral', 2, 'of keys, likewise'],
  ['gemma', 2, 'of queries, which are scaled afterwards'],
  ['gemma 2', 4, 'of queries, likewise'],
  ['gemma 3', 6, 'of queries, likewise'],
  ['phi 3', 4, 'all: queries and keys are parts of one product'],
  ['mistral 3', 4, 'all: YaRN'],
])('of %s, no norms and %i rotations: %s', async (name, rotations) => {
  expect(await remaining(architecturePath(name), 20, ['RMS_NORM', 'ROPE'])).toEqual([0, rotations]);
});
