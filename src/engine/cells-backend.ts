import { availableParallelism } from 'node:os';
import type { LlamaContext } from '../llama/index.js';
import { mostSequences } from './cell-sequences.js';
import { CellsExecutor } from './cells-executor.js';
import { isGpu, KVBackendError, type KVBackendParts, type OpenKVBackend } from './kv-backend.js';
import { computeAlone, SELF_TEST_TOKENS, selfTestCells, selfTestTokens } from './self-test.js';
import { chooseSizes } from './sizes.js';

/** `LLAMA_MAX_SEQ`. */
const MOST_IDS = 256;

/**
 * Tokens of the KV cache unless the user names its size. llama.cpp touches all of it at start, and reserves a mask with
 * a column for each.
 */
const DEFAULT_CELLS = 65_536;

/**
 * Tokens that are kept for requests to come, on top of those of running ones. llama.cpp's attention looks at every cell
 * in use for every token of a step, so keeping more would make all requests slower for the few that begin alike.
 */
const MOST_IDLE_CELLS = 8192;

/**
 * KV cells: llama.cpp's own unified KV cache and attention, on any device and for any decoder-only model. Requests share
 * prefixes there too, but for models with recurrent layers, whose states belong to whole sequences.
 *
 * @throws KVBackendError when they cannot do what was asked for; SelfTestError, LlamaError, SizeError
 */
export function openCells(parts: KVBackendParts): OpenKVBackend {
  const { config, llama, model, owned, onProgress, onLost } = parts;
  if (model.hasEncoder || !model.hasDecoder) {
    throw new KVBackendError('models with an encoder cannot be served', 'choose a decoder-only model');
  }
  if (config.batchInvariant === 'on') {
    throw new KVBackendError(
      `--batch-invariant on cannot be kept: ${NOT_INVARIANT}`,
      'use --batch-invariant auto, or what KV pages need: a CPU, a C compiler, and a model that they can serve',
    );
  }
  const windowed = model.slidingWindow > 0;
  const wholeOnly = model.isRecurrent || model.isHybrid;
  const most = mostSequences(MOST_IDS, windowed) - 1;
  if (config.maxNumSeqs > most) {
    throw new KVBackendError(
      `the cells backend runs at most ${most} sequences of this model at once`,
      `use --max-num-seqs ${most} or less`,
    );
  }

  const { kvCacheDtype } = config;
  if (kvCacheDtype === 'i16') {
    throw new KVBackendError("llama.cpp's cells cannot store i16", 'use --kv-cache-dtype auto, f16 or q8_0');
  }
  const type = kvCacheDtype === 'auto' ? 'f16' : kvCacheDtype;
  const threads = config.threads || availableParallelism();
  const threadPool = llama.createThreadPool(threads, { polling: pollingFor(threads) });
  owned.push(threadPool);
  const openContext = (sizes: { contextLength: number; batchSize: number; maxSequences: number; maxOutputs: number }) =>
    model.createContext({ ...sizes, threads, threadPool, kvType: type });
  const alone = openContext({
    contextLength: SELF_TEST_TOKENS,
    batchSize: SELF_TEST_TOKENS,
    maxSequences: 1,
    maxOutputs: 1,
  });
  try {
    const { bytesPerToken, bytesPerSequence } = measureFootprint(alone, model.vocab.size);
    // Recurrent layers keep a state for every id, so there are no more ids than needed.
    const ids = wholeOnly ? config.maxNumSeqs + 1 : MOST_IDS;
    const stateBytes = wholeOnly ? ids * bytesPerSequence : 0;
    // A purely recurrent model has nothing that grows with its tokens: no memory limits them.
    const sizes = chooseSizes(bytesPerToken === 0 ? { ...config, kvCacheBytes: 0 } : config, {
      trainContextLength: model.trainContextLength,
      bytesPerToken,
      availableMemory: freeMemory(parts) - stateBytes,
      cores: availableParallelism(),
      defaultTokens: DEFAULT_CELLS,
    });
    onProgress('self-test', 0);
    const context = openContext({
      contextLength: sizes.numBlocks * sizes.blockSize,
      batchSize: Math.max(sizes.maxNumBatchedTokens, SELF_TEST_TOKENS),
      maxSequences: ids,
      maxOutputs: sizes.maxNumSeqs,
    });
    owned.push(context);
    const openExecutor = (blockSize: number): CellsExecutor => {
      const mostIdleBlocks = config.enablePrefixCaching && !wholeOnly ? MOST_IDLE_CELLS / blockSize : 0;
      return new CellsExecutor({ context, blockSize, ids, windowed, wholeOnly, mostIdleBlocks, onLost });
    };
    selfTestCells(openExecutor, alone, { wholeOnly, vocabSize: model.vocab.size });
    context.clearMemory();
    return {
      executor: openExecutor(sizes.blockSize),
      sizes: { ...sizes, kvCacheBytes: sizes.kvCacheBytes + stateBytes },
      sharesPrefixes: !wholeOnly,
      info: {
        kvBackend: 'cells',
        kvCacheDtype: type,
        kernel: 'llama.cpp',
        batchInvariant: false,
        batchInvariantReason: NOT_INVARIANT,
        rowPadding: 1,
        lanes: 1,
      },
    };
  } finally {
    alone.dispose();
  }
}

const NOT_INVARIANT = "the cells backend computes attention with llama.cpp's kernels";

/** Where llama.cpp will put the KV cache. */
function freeMemory({ config, llama }: KVBackendParts): number {
  if (!isGpu(config.device)) return process.availableMemory();
  const gpus = llama.devices().filter(({ type }) => type === 'gpu' || type === 'integrated-gpu');
  return gpus.reduce((bytes, { memoryFree }) => bytes + memoryFree, 0);
}

/**
 * Bytes that llama.cpp keeps per token, and besides per sequence. Measured, since every architecture keeps something
 * else: two sequences' saved states differ by what their further tokens take.
 */
function measureFootprint(context: LlamaContext, vocabSize: number) {
  const tokens = selfTestTokens(vocabSize);
  const bytesOf = (length: number): number => {
    computeAlone(context, tokens, [length]);
    return context.state.sequenceSize(0);
  };
  const half = SELF_TEST_TOKENS / 2;
  const bytes = bytesOf(half);
  const bytesPerToken = (bytesOf(SELF_TEST_TOKENS) - bytes) / half;
  return { bytesPerToken, bytesPerSequence: bytes - half * bytesPerToken };
}

/**
 * How eagerly compute threads wait for the next step, between 0 and 100. Where there are cores besides, they spin, as in
 * llama.cpp. Where there are none, a spinning thread would keep the gateway from sending what the last step produced, and
 * the engine's own thread from planning the next one: a single stream is a tenth faster when they sleep.
 */
function pollingFor(threads: number): number {
  return threads < availableParallelism() ? 50 : 0;
}
