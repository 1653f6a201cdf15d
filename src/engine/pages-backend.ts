import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  buildKernel,
  type KernelLevel,
  PAGE_TOKENS,
  PagedAttention,
  type PageShape,
  pageBytes,
} from '../attention/index.js';
import type { LlamaContext } from '../llama/index.js';
import { Executor, type ExecutorOptions } from './executor.js';
import { KeptPages } from './kept-pages.js';
import type { KVBackendParts, OpenKVBackend } from './kv-backend.js';
import { type Lanes, laneCount, openLanes } from './lanes.js';
import { pageShapeFor } from './page-support.js';
import { MAX_SEQUENCES, type SelfTestVerdict } from './protocol.js';
import { hasTiledMatmuls, leastRowPadding, rowTileFor } from './row-padding.js';
import { SELF_TEST_TOKENS, selfTest } from './self-test.js';
import { chooseSizes, type EngineSizes } from './sizes.js';
import { MAX_ROW_PADDING } from './step-batch.js';

/**
 * KV pages: the kernel, page memory, a context whose attention they replace, and a self-test of all of them together.
 *
 * @throws KernelBuildError, UnsupportedModelError, SelfTestError, AttentionError when pages cannot serve this model on
 *   this machine; LlamaError, SizeError
 */
export async function openPages(parts: KVBackendParts): Promise<OpenKVBackend> {
  const { config, llama, model, onProgress, onLog } = parts;
  onProgress('kernel', 0);
  const kernel = await buildKernel({ onProgress: (line) => onLog('info', line) });
  const shape = pageShapeFor(model, config.kvCacheDtype === 'auto' ? 'i16' : config.kvCacheDtype, {
    kernel: kernel.path,
    ggmlBaseLibrary: llama.ggmlBaseLibrary,
  });
  const sizes = chooseSizes(config, {
    trainContextLength: model.trainContextLength,
    bytesPerToken: pageBytes(shape) / PAGE_TOKENS,
    availableMemory: process.availableMemory(),
    cores: availableParallelism(),
  });
  const runtime = openRuntime(parts, shape, sizes, kernel.path);
  const identity = identityOf(parts, shape, kernel.path, runtime);
  const kept = keepPages(parts, sizes, identity, runtime);
  if (kept !== undefined) runtime.attention.backAhead(BACKED_AHEAD_BYTES);
  const known = config.verdict?.selfTested === identity ? config.verdict : undefined;
  if (known === undefined) onProgress('self-test', 0);
  const verdict = known ?? { ...chooseRowPadding(parts, runtime), selfTested: identity };
  if (verdict.lanes === 1) runtime.lanes?.dispose();
  const executor = new Executor({
    ...runtime.executorOptions,
    blockSize: sizes.blockSize,
    rowPadding: verdict.rowPadding,
    lanes: verdict.lanes === 1 ? undefined : runtime.lanes,
  });
  const { level } = runtime.attention;
  const info = { kvBackend: 'pages' as const, kvCacheDtype: shape.type, kernel: level, ...verdict };
  const rowTile = rowTileFor(parts.model.ftypeName, verdict.lanes);
  return { executor, sizes, rowTile, sharesPrefixes: true, kept, info };
}

/**
 * New memory is cleared by the system when it is first used, which takes a step up to half as long again. This much is
 * made ready before it is needed, first what is given out first.
 */
const BACKED_AHEAD_BYTES = 512 * 2 ** 20;

/** A hash of everything that the contents of pages depend on besides tokens, and with it what the self-test finds. */
function identityOf(
  { config, llama }: KVBackendParts,
  shape: PageShape,
  kernel: string,
  { attention }: Runtime,
): string {
  const files = [config.modelPath, llama.ggmlBaseLibrary, kernel].map((path) => {
    const { size, mtimeMs } = statSync(path);
    return { path, size, mtimeMs };
  });
  const { batchInvariant } = config;
  const identity = { files, shape, level: attention.level, cpuBackend: llama.cpuBackend, batchInvariant };
  return createHash('sha256').update(JSON.stringify(identity)).digest('hex');
}

/** Moves the pages, before the first step, into memory that outlives the engine, if that is wanted and there is such. */
function keepPages(
  { keptMemory }: KVBackendParts,
  { numBlocks, blockSize }: EngineSizes,
  identity: string,
  { attention }: Runtime,
): KeptPages | undefined {
  if (keptMemory === undefined) return undefined;
  const descriptor = keptMemory === 'new' ? undefined : keptMemory;
  return KeptPages.open({ attention, descriptor, numBlocks, blockSize, identity });
}

interface Runtime {
  /** Another context for the same model, with llama.cpp's own attention. */
  openStockContext(): LlamaContext;
  attention: PagedAttention;
  lanes?: Lanes;
  /** What executors have in common. */
  executorOptions: Pick<ExecutorOptions, 'context' | 'attention' | 'scratchPage' | 'fillsTiles'>;
  /** Pages behind those of the pool, for the self-test. */
  testPages: number[];
}

function openRuntime(
  { llama, model, owned }: KVBackendParts,
  shape: PageShape,
  sizes: EngineSizes,
  kernel: string,
): Runtime {
  const poolPages = sizes.numBlocks * (sizes.blockSize / PAGE_TOKENS);
  const { threads } = sizes;
  // Behind the pool: one page for padding rows of the context and of each lane, and those of the self-test.
  const behind = (count: number, after: number) => Array.from({ length: count }, (_, i) => poolPages + after + i);
  const [scratchPage, ...laneScratchPages] = behind(1 + laneCount(threads), 0);
  const testPages = behind(Math.ceil(SELF_TEST_TOKENS / PAGE_TOKENS), 1 + laneCount(threads));
  const attention = new PagedAttention({
    shape,
    pages: testPages.at(-1)! + 1,
    kernel,
    ggmlBaseLibrary: llama.ggmlBaseLibrary,
    level: process.env.QUIRE_KERNEL as KernelLevel | undefined,
    threads,
  });
  owned.push(attention);
  // Threads that waited for the next step by spinning would take cores from those of lanes.
  const threadPool = llama.createThreadPool(threads, { polling: 0 });
  owned.push(threadPool);
  const batchSize = Math.max(sizes.maxNumBatchedTokens, SELF_TEST_TOKENS) + MAX_ROW_PADDING;
  const context = model.createContext({
    batchSize,
    maxSequences: MAX_SEQUENCES + 1,
    maxOutputs: sizes.maxNumSeqs + MAX_ROW_PADDING,
    threads,
    threadPool,
    evalCallback: attention.evalCallback,
    evalCallbackData: attention.evalCallbackData,
  });
  owned.push(context);
  const lanes = openLanes({
    ...{ llama, model, attention, threads, batchSize },
    maxSequences: sizes.maxNumSeqs,
    scratchPages: laneScratchPages,
  });
  if (lanes !== undefined) owned.push(lanes);
  return {
    executorOptions: { context, attention, scratchPage, fillsTiles: hasTiledMatmuls(model.ftypeName) },
    lanes,
    openStockContext: () =>
      model.createContext({ batchSize: SELF_TEST_TOKENS, maxSequences: 1, maxOutputs: 1, threads, threadPool }),
    attention,
    testPages,
  };
}

/** Multiples of rows that make more and more weight types' matmuls independent of the number of rows; 1 costs nothing. */
const ROW_PADDINGS = [1, 4, MAX_ROW_PADDING];

/**
 * The least row padding under which the self-test finds the same bits however a prompt is cut, unless that is known to
 * be chance; in lanes and out of them, or else without lanes. Padding makes small steps slower, so it is tried only with
 * `--batch-invariant on`.
 *
 * @throws SelfTestError when pages do not reproduce stock attention
 */
function chooseRowPadding(
  { config: { batchInvariant: wanted }, model }: KVBackendParts,
  { executorOptions, lanes, testPages, openStockContext }: Runtime,
): Omit<SelfTestVerdict, 'selfTested'> {
  const stock = openStockContext();
  // So few that the whole prompt is computed in lanes, and its pieces are not.
  const leastLaneRows = Math.floor(SELF_TEST_TOKENS / (lanes?.lanes.length ?? 1));
  const isExact = ({ rowPadding, lanes }: Way): boolean => {
    const options = { ...executorOptions, blockSize: PAGE_TOKENS, rowPadding, lanes, leastLaneRows };
    return selfTest(new Executor(options), stock, testPages, model.vocab.size).exact;
  };
  const ways = (wanted === 'on' ? ROW_PADDINGS : [1]).flatMap((rowPadding): Way[] =>
    lanes === undefined ? [{ rowPadding }] : [{ rowPadding, lanes }, { rowPadding }],
  );
  let way: Way | undefined;
  try {
    const least = leastRowPadding(model.ftypeName);
    // In this order, so that there is a self-test however little padding is allowed.
    way = ways.find((one) => isExact(one) && one.rowPadding >= least);
  } finally {
    stock.dispose();
  }
  const weights = `${model.ftypeName} weights`;
  if (way !== undefined) {
    const { rowPadding } = way;
    const batchInvariantReason =
      rowPadding === 1 ? `${weights} need no padding` : `${weights}, rows padded to ${rowPadding}`;
    return { batchInvariant: true, batchInvariantReason, rowPadding, lanes: countOf(way.lanes) };
  }
  const reason =
    wanted === 'on'
      ? `${weights} give other bits for other batch sizes on this machine, with every padding`
      : `${weights} give other bits for other batch sizes; --batch-invariant on pads them`;
  return { batchInvariant: false, batchInvariantReason: reason, rowPadding: 1, lanes: countOf(lanes) };
}

/** How rows could be computed so that they have the same bits whatever is with them. */
interface Way {
  rowPadding: number;
  lanes?: Lanes;
}

function countOf(lanes: Lanes | undefined): number {
  return lanes?.lanes.length ?? 1;
}
