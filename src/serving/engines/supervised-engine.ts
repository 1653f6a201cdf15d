import type { EngineConfig } from '../../engine/protocol.js';
import type { EngineClient, EngineFailure, EngineStartHooks, StartEngine } from './engine-client.js';

export interface SupervisorParts {
  config: EngineConfig;
  /** `onProgress` and `signal` are for the first start. */
  hooks: EngineStartHooks;
  startEngine: StartEngine;
  /** An engine's KV cache is kept for the one that takes its place. */
  keepsKVCache: boolean;
  /** How long to wait before each new start, by how often engines have died since somebody got on; then it is given up. */
  restartDelaysMs: readonly number[];
  /** How long to wait before each new start of an engine that was given up. */
  retryMs: number;
}

/** What can be expected of an engine at the moment. */
export type EngineStatus =
  | { state: 'running' }
  /** It has died; requests wait for the next one. */
  | ({ state: 'restarting' } & EngineFailure)
  /** It died again and again; requests are refused until a start succeeds. `retryAt` in ms since the epoch. */
  | ({ state: 'given-up'; retryAt: number } & EngineFailure)
  | { state: 'closed' };

export interface SupervisedEngine extends EngineClient {
  /** How often an engine was started again. */
  restarts(): number;
  status(): EngineStatus;
}
