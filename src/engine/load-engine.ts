import { availableParallelism } from 'node:os';
import { buildKernel, PAGE_TOKENS, PagedAttention, type PageShape, pageBytes } from '../attention/index.js';
import { type Llama, type LlamaContext, type LlamaModel, loadLlama } from '../llama/index.js';
import { Engine } from './engine.js';
import { Executor, MAX_ROW_PADDING } from './executor.js';
import { pageShapeFor } from './page-support.js';
import { type EngineConfig, type EngineInfo, type LogLevel, MAX_SEQUENCES } from './protocol.js';
import { SELF_TEST_TOKENS, selfTest } from './self-test.js';
import { chooseSizes, type EngineSizes } from './sizes.js';

export interface LoadHooks {
  onProgress(phase: string, fraction: number): void;
  onLog(level: LogLevel, message: string): void;
}

export interface LoadedEngine {
  engine: Engine;
  info: EngineInfo;
  /** Frees all native memory. The engine is of no use afterwards. */
  dispose(): void;
}

/** The device that was asked for cannot run KV pages. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError';
  readonly hint = 'use --device cpu';
}

/**
 * Brings up everything an engine needs, in this process: llama.cpp, the kernel, the model, page memory, and a self-test
 * of all of them together.
 *
 * @throws DeviceError, KernelBuildError, LlamaError, UnsupportedModelError, SizeError, AttentionError, SelfTestError;
 *   all carry a `hint` for the user
 */
export async function loadEngine(config: EngineConfig, hooks: LoadHooks): Promise<LoadedEngine> {
  const began = performance.now();
  if (config.device !== 'auto' && config.device !== 'cpu') {
    throw new DeviceError(`KV pages are kept in main memory so far: they cannot serve --device ${config.device}`);
  }
  hooks.onProgress('kernel', 0);
  const kernel = await buildKernel({ onProgress: (line) => hooks.onLog('info', line) });
  const llama = loadLlama({
    device: config.device,
    // llama.cpp tells much at level info that nobody asked for.
    onLog: (level, message) => hooks.onLog(level === 'info' ? 'debug' : level, message),
  });
  const owned: Disposable[] = [];
  const dispose = (): void => {
    for (const resource of owned.splice(0).reverse()) resource.dispose();
  };
  try {
    const model = llama.loadModel(config.modelPath, { onProgress: (fraction) => hooks.onProgress('load', fraction) });
    owned.push(model);
    const shape = pageShapeFor(model);
    const sizes = chooseSizes(config, {
      trainContextLength: model.trainContextLength,
      bytesPerToken: pageBytes(shape) / PAGE_TOKENS,
      availableMemory: process.availableMemory(),
      cores: availableParallelism(),
    });
    hooks.onProgress('self-test', 0);
    const runtime = openRuntime(llama, model, shape, sizes, kernel.path, owned);
    const verdict = chooseRowPadding(config, runtime, model);
    const executor = new Executor({
      context: runtime.context,
      attention: runtime.attention,
      blockSize: sizes.blockSize,
      scratchPage: runtime.scratchPages[0],
      rowPadding: verdict.rowPadding,
    });
    const engine = new Engine({
      ...sizes,
      executor,
      vocabSize: model.vocab.size,
      endTokens: endTokens(model),
      policy: config.policy,
      batchWindowMs: config.batchWindowMs,
      enablePrefixCaching: config.enablePrefixCaching,
      checkEveryStep: config.checkEveryStep,
    });
    const info: EngineInfo = {
      modelPath: config.modelPath,
      modelDescription: model.description,
      parameters: model.parameters,
      weightBytes: model.weightBytes,
      vocabSize: model.vocab.size,
      ...sizes,
      kvBackend: 'pages',
      kernel: runtime.attention.level,
      cpuBackend: llama.cpuBackend,
      ...verdict,
      loadMs: performance.now() - began,
    };
    return { engine, info, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

interface Disposable {
  dispose(): void;
}

interface Runtime {
  context: LlamaContext;
  /** Another context for the same model, with llama.cpp's own attention. */
  openStockContext(): LlamaContext;
  attention: PagedAttention;
  /** Pages behind those of the pool: one for padding rows, and the self-test's. */
  scratchPages: number[];
}

/** @param owned what is opened here is added to it, to be disposed of in reverse order */
function openRuntime(
  llama: Llama,
  model: LlamaModel,
  shape: PageShape,
  sizes: EngineSizes,
  kernel: string,
  owned: Disposable[],
): Runtime {
  const poolPages = sizes.numBlocks * (sizes.blockSize / PAGE_TOKENS);
  const scratchPages = Array.from({ length: 1 + Math.ceil(SELF_TEST_TOKENS / PAGE_TOKENS) }, (_, i) => poolPages + i);
  const attention = new PagedAttention({
    shape,
    pages: poolPages + scratchPages.length,
    kernel,
    ggmlBaseLibrary: llama.ggmlBaseLibrary,
  });
  owned.push(attention);
  const { threads } = sizes;
  const threadPool = llama.createThreadPool(threads);
  owned.push(threadPool);
  const context = model.createContext({
    batchSize: Math.max(sizes.maxNumBatchedTokens, SELF_TEST_TOKENS) + MAX_ROW_PADDING,
    maxSequences: MAX_SEQUENCES + 1,
    maxOutputs: sizes.maxNumSeqs + MAX_ROW_PADDING,
    threads,
    threadPool,
    evalCallback: attention.evalCallback,
    evalCallbackData: attention.evalCallbackData,
  });
  owned.push(context);
  return {
    context,
    openStockContext: () =>
      model.createContext({ batchSize: SELF_TEST_TOKENS, maxSequences: 1, maxOutputs: 1, threads, threadPool }),
    attention,
    scratchPages,
  };
}

/** Multiples of rows that make more and more weight types' matmuls independent of the number of rows; 1 costs nothing. */
const ROW_PADDINGS = [1, 4, MAX_ROW_PADDING];

/**
 * The least row padding under which the self-test finds the same bits however a prompt is cut. Padding makes small steps
 * slower, so it is tried only with `--batch-invariant on`.
 *
 * @throws SelfTestError when pages do not reproduce stock attention
 */
function chooseRowPadding(
  { batchInvariant: wanted }: EngineConfig,
  { context, attention, scratchPages, openStockContext }: Runtime,
  model: LlamaModel,
): Pick<EngineInfo, 'batchInvariant' | 'batchInvariantReason' | 'rowPadding'> {
  const [scratchPage, ...blocks] = scratchPages;
  const stock = openStockContext();
  const isExact = (rowPadding: number): boolean => {
    const executor = new Executor({ context, attention, blockSize: PAGE_TOKENS, scratchPage, rowPadding });
    return selfTest(executor, stock, blocks, model.vocab.size).exact;
  };
  let rowPadding: number | undefined;
  try {
    rowPadding = (wanted === 'on' ? ROW_PADDINGS : [1]).find(isExact);
  } finally {
    stock.dispose();
  }
  const weights = `${model.ftypeName} weights`;
  if (rowPadding === 1) {
    return { batchInvariant: true, batchInvariantReason: `${weights} need no padding`, rowPadding };
  }
  if (rowPadding !== undefined) {
    return { batchInvariant: true, batchInvariantReason: `${weights}, rows padded to ${rowPadding}`, rowPadding };
  }
  const reason =
    wanted === 'on'
      ? `${weights} give other bits for other batch sizes on this machine, with every padding`
      : `${weights} give other bits for other batch sizes; --batch-invariant on pads them`;
  return { batchInvariant: false, batchInvariantReason: reason, rowPadding: 1 };
}

function endTokens({ vocab }: LlamaModel): number[] {
  return Array.from({ length: vocab.size }, (_, token) => token).filter((token) => vocab.isEndOfGeneration(token));
}
