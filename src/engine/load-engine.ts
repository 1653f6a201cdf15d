import { AttentionError, KernelBuildError } from '../attention/index.js';
import type { EngineFaults } from '../faults/index.js';
import { TokenMasks } from '../grammar/index.js';
import { LlamaError, type LlamaModel, loadLlama } from '../llama/index.js';
import { openCells } from './cells-backend.js';
import { Engine } from './engine.js';
import { type Disposable, isGpu, KVBackendError, type KVBackendParts, type OpenKVBackend } from './kv-backend.js';
import { loadModeFor } from './load-mode.js';
import { openSelection } from './open-selection.js';
import { UnsupportedModelError } from './page-support.js';
import { openPages } from './pages-backend.js';
import { defaultPooling } from './pooling.js';
import type { EngineConfig, EngineInfo, LogLevel } from './protocol.js';
import { SelfTestError } from './self-test.js';
import { checkServable } from './servable-model.js';

export interface LoadHooks {
  onProgress(phase: string, fraction: number): void;
  onLog(level: LogLevel, message: string): void;
  /** The engine has something to do or to send although nobody called it. */
  onChange?(): void;
  onAdmitted?(requestIds: string[]): void;
  /** See KVBackendParts. */
  keptMemory?: 'new' | number;
  /** What a test wants to go wrong. */
  faults?: EngineFaults | undefined;
}

export interface LoadedEngine {
  engine: Engine;
  info: EngineInfo;
  /** Descriptor of the memory that its pages are in, if that outlives the engine. */
  keptMemory?: number;
  /** Frees all native memory. The engine is of no use afterwards. */
  dispose(): void;
}

/**
 * llama.cpp tells much at level info that nobody asked for, and warns of a KV cache that is longer than one sequence may
 * be, of one that keeps what lies before a sliding window, and that pooling is left to us.
 */
const AS_INTENDED = /possible training context overflow|using full-size SWA cache|default pooling_type/;

/**
 * Brings up everything an engine needs, in this process: llama.cpp, the model, and a KV backend that has passed its
 * self-test.
 *
 * @throws UnservableModelError, KVBackendError, KernelBuildError, LlamaError, UnsupportedModelError, SizeError, AttentionError, SelfTestError;
 *   all carry a `hint` for the user
 */
export async function loadEngine(config: EngineConfig, hooks: LoadHooks): Promise<LoadedEngine> {
  const began = performance.now();
  if (config.kvBackend === 'pages' && isGpu(config.device)) {
    throw new KVBackendError(
      `KV pages are kept in main memory: they cannot serve --device ${config.device}`,
      'use --kv-backend cells, or --device cpu',
    );
  }
  const llama = loadLlama({
    device: config.device,
    onLog: (level, message) => hooks.onLog(level === 'info' || AS_INTENDED.test(message) ? 'debug' : level, message),
  });
  const owned: Disposable[] = [];
  const dispose = (): void => disposeDownTo(owned, 0);
  try {
    const model = llama.loadModel(config.modelPath, {
      loadMode: loadModeFor(config, process.availableMemory()),
      onProgress: (fraction) => hooks.onProgress('load', fraction),
    });
    owned.push(model);
    checkServable(model);
    let engine: Engine | undefined;
    const onLost = (blocks: readonly number[]): void => engine?.forget(blocks);
    const { backend, reason } = await openKVBackend({ config, llama, model, owned, ...hooks, onLost });
    const masks = new TokenMasks(model.vocab);
    owned.push(masks);
    engine = new Engine({
      ...backend.sizes,
      rowTile: backend.rowTile,
      executor: backend.executor,
      selection: await openSelection(model.vocab.size),
      vocabSize: model.vocab.size,
      endTokens: endTokens(model),
      masks,
      onChange: hooks.onChange,
      onAdmitted: hooks.onAdmitted,
      faults: hooks.faults,
      targetItlMs: config.targetItlMs,
      policy: config.policy,
      batchWindowMs: config.batchWindowMs,
      enablePrefixCaching: config.enablePrefixCaching && backend.sharesPrefixes,
      checkEveryStep: config.checkEveryStep,
      journal: backend.kept,
    });
    tellKept(backend, hooks);
    const info: EngineInfo = {
      modelPath: config.modelPath,
      modelDescription: model.description,
      parameters: model.parameters,
      weightBytes: model.weightBytes,
      vocabSize: model.vocab.size,
      embeddingSize: model.embeddingOutputSize,
      pooling: defaultPooling(model),
      ...backend.sizes,
      ...backend.info,
      kvBackendReason: reason,
      cpuBackend: llama.cpuBackend,
      loadMs: performance.now() - began,
    };
    return { engine, info, keptMemory: backend.kept?.descriptor, dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

function tellKept({ kept, info, sizes }: OpenKVBackend, { keptMemory, onLog }: LoadHooks): void {
  if (keptMemory === undefined || info.kvBackend !== 'pages') return;
  if (kept === undefined) {
    onLog('info', 'The KV cache ends with the engine process: this system has no huge pages for shared memory.');
  } else if (kept.recovered > 0) {
    onLog('info', `KV cache of the engine before: ${kept.recovered} blocks of ${sizes.blockSize} tokens can be found.`);
  }
}

/** The KV backend that the configuration names; left to choose, pages where they can serve device and model. */
async function openKVBackend(parts: KVBackendParts): Promise<{ backend: OpenKVBackend; reason: string }> {
  const { config, owned, onLog } = parts;
  if (config.kvBackend === 'cells') return { backend: openCells(parts), reason: 'asked for by --kv-backend' };
  if (isGpu(config.device)) {
    return { backend: openCells(parts), reason: `--device ${config.device}: pages are kept in main memory` };
  }
  const ownedBefore = owned.length;
  try {
    return { backend: await openPages(parts), reason: 'pages can serve this model on this machine' };
  } catch (error) {
    if (config.kvBackend === 'pages') throw error;
    const obstacle = obstacleToPages(error);
    if (obstacle === undefined) throw error;
    disposeDownTo(owned, ownedBefore);
    const { level, reason } = obstacle;
    const backend = openCells(parts);
    onLog(level, `KV cells instead of pages: ${reason}`);
    return { backend, reason };
  }
}

/** Why pages cannot be had, where that is no reason not to start. */
function obstacleToPages(error: unknown): { level: LogLevel; reason: string } | undefined {
  if (error instanceof UnsupportedModelError) {
    return { level: 'info', reason: `pages cannot serve this model: ${error.message}` };
  }
  if (error instanceof KernelBuildError) {
    return { level: 'warn', reason: `slower, and answers may differ in a crowd: ${error.message}. ${error.hint}` };
  }
  if (error instanceof SelfTestError || error instanceof AttentionError || error instanceof LlamaError) {
    return { level: 'warn', reason: `pages failed: ${error.message}` };
  }
  return undefined;
}

function disposeDownTo(owned: Disposable[], length: number): void {
  for (const resource of owned.splice(length).reverse()) resource.dispose();
}

function endTokens({ vocab }: LlamaModel): number[] {
  return Array.from({ length: vocab.size }, (_, token) => token).filter((token) => vocab.isEndOfGeneration(token));
}
