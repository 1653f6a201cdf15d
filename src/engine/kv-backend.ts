import type { Llama, LlamaModel } from '../llama/index.js';
import type { EngineOptions } from './engine.js';
import type { KeptPages } from './kept-pages.js';
import type { EngineConfig, EngineInfo, LogLevel, SelfTestVerdict } from './protocol.js';
import type { EngineSizes } from './sizes.js';

/** What a KV backend is opened with. */
export interface KVBackendParts {
  config: EngineConfig;
  llama: Llama;
  model: LlamaModel;
  /** What is opened is added to it, to be disposed of in reverse order. */
  owned: Disposable[];
  onProgress(phase: string, fraction: number): void;
  onLog(level: LogLevel, message: string): void;
  /** Pages are to be in memory that outlives the engine: a new one, or that of this descriptor, which one left. */
  keptMemory?: 'new' | number;
  /** The contents of these blocks are gone, though the scheduler may count on them. */
  onLost(blocks: readonly number[]): void;
}

export interface Disposable {
  dispose(): void;
}

/** A KV backend that works: it computes steps, and has passed its self-test. */
export interface OpenKVBackend {
  executor: EngineOptions['executor'];
  sizes: EngineSizes;
  /** See SchedulerOptions. */
  rowTile?: number;
  /** Whether prefixes can be shared between requests. */
  sharesPrefixes: boolean;
  /** Memory that outlives the engine, if pages are in such. */
  kept?: KeptPages;
  info: SelfTestVerdict & Pick<EngineInfo, 'kvBackend' | 'kvCacheDtype' | 'kernel'>;
}

/** No KV backend can do what was asked for. `hint` says which flag to change. */
export class KVBackendError extends Error {
  override readonly name = 'KVBackendError';
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

export function isGpu(device: EngineConfig['device']): boolean {
  return device !== 'auto' && device !== 'cpu';
}
