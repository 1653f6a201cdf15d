import type { EngineConfig, LogLevel } from '../engine/protocol.js';
import { GrammarMaker } from '../grammar/index.js';
import { type StartEngine, type SupervisedEngine, spawnEngine, superviseEngine } from './engines/index.js';
import { resolveModel } from './models/index.js';
import type { ServingOptions } from './options.js';
import { loadModelText, type ModelText } from './text/index.js';

/** What serving is put together from. Left out: the real thing. */
export interface ServingParts {
  /** Finds or fetches the model's file. */
  resolveModel: typeof resolveModel;
  /** Reads vocabulary and chat template; may block meanwhile. */
  loadModelText(path: string): ModelText;
  startEngine: StartEngine;
  /** How long to wait before each new start of an engine that dies again and again; after the last one it is given up. */
  restartDelaysMs: readonly number[];
  /** How long to wait before each new start of one that was given up. */
  retryMs: number;
  /** Where notes about the model and the engine's log lines go. */
  onLog(level: LogLevel, message: string): void;
}

/** What answers for one model. */
export interface Backend {
  /** Short name of the model, to serve it by when the user gave none. */
  name: string;
  text: ModelText;
  engine: SupervisedEngine;
  /** Makes grammars over the model's vocabulary. */
  grammars: GrammarMaker;
}

const defaultParts: ServingParts = {
  resolveModel,
  loadModelText,
  startEngine: spawnEngine,
  restartDelaysMs: [0, 0, 500, 2_000, 5_000, 10_000],
  retryMs: 60_000,
  onLog() {},
};

/**
 * Everything from a model's name to an engine that takes requests.
 * @param progress.onProgress `fraction` is 0 … 1 of the phase.
 * @throws ModelResolveError, LlamaError, EngineStartError
 */
export async function loadBackend(
  options: ServingOptions,
  parts: Partial<ServingParts>,
  progress: { signal: AbortSignal; onProgress(phase: string, fraction: number): void },
): Promise<Backend> {
  const { resolveModel, loadModelText, startEngine, restartDelaysMs, retryMs, onLog } = { ...defaultParts, ...parts };
  const { signal, onProgress } = progress;
  const model = await resolveModel(options.model, {
    requantize: options.requantize,
    threads: options.threads,
    signal,
    onProgress: ({ phase, done, total }) => onProgress(phase, total > 0 ? done / total : 0),
  });
  for (const note of model.notes) onLog('info', note);

  // The engine first: should llama.cpp end the process over this file, in spite of all checks, it is not this process.
  const engine = await superviseEngine({
    config: engineConfig(options, model.path),
    hooks: { onProgress, onLog, signal, silenceMs: options.engineTimeout * 1000 },
    startEngine,
    restartDelaysMs,
    keepsKVCache: options.keepKvCache,
    retryMs,
  });
  try {
    const text = loadModelText(model.path);
    return { name: model.name, text, engine, grammars: new GrammarMaker(text.tokenizer.vocabulary) };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

function engineConfig(options: ServingOptions, modelPath: string): EngineConfig {
  return {
    modelPath,
    device: options.device,
    threads: options.threads,
    maxModelLen: options.maxModelLen,
    maxNumSeqs: options.maxNumSeqs,
    maxNumBatchedTokens: options.maxNumBatchedTokens,
    blockSize: options.blockSize,
    kvCacheBytes: options.kvCacheMemory,
    kvCacheDtype: options.kvCacheDtype,
    kvBackend: options.kvBackend,
    loadMode: options.loadMode,
    targetItlMs: options.targetItl,
    policy: options.policy,
    batchWindowMs: options.batchWindow,
    enablePrefixCaching: options.enablePrefixCaching,
    batchInvariant: options.batchInvariant,
    checkEveryStep: options.checkEveryStep,
  };
}
