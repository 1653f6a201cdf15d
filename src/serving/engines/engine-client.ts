import type {
  EmbedRequest,
  EngineConfig,
  EngineEvent,
  EngineInfo,
  EngineRequest,
  EngineStats,
  LogLevel,
} from '../../engine/protocol.js';
import type { KeptMemory } from './kept-memory.js';

/** Why an engine is gone when nobody asked it to go. */
export interface EngineFailure {
  reason: string;
  /** What the user can do. */
  hint?: string;
}

/** A running engine, wherever it runs. */
export interface EngineClient {
  readonly info: EngineInfo;
  /**
   * Hands a request over. `onEvents` is called once per step with what the step did for this request, in order; every
   * choice ends with one `finished` event, or the request with one `rejected` event. When the engine dies, no event follows:
   * `closed` tells.
   * @throws EngineUnavailableError when the engine is gone or closing.
   */
  submit(request: EngineRequest, onEvents: (events: EngineEvent[]) => void): void;
  /** Hands over a prompt to be embedded. Its events are one `embedding`, unless it is aborted, and those of `submit`. */
  embed(request: EmbedRequest, onEvents: (events: EngineEvent[]) => void): void;
  /**
   * Ends a request, or one choice of it, with reason `abort`. Events that are on their way still arrive. Ids that are
   * not running are ignored.
   */
  abort(requestId: string, choice?: number): void;
  /** As of the latest step. */
  stats(): EngineStats;
  /** Resolves when the engine is gone: with the reason, or undefined when `close()` asked it to. Never rejects. */
  readonly closed: Promise<EngineFailure | undefined>;
  /** Ends running requests with reason `abort`; resolves when the engine is gone. */
  close(): Promise<void>;
}

export interface EngineStartHooks {
  /** @param fraction 0 … 1 of this phase. */
  onProgress?(phase: string, fraction: number): void;
  onLog?(level: LogLevel, message: string): void;
  /** Gives up starting; the engine is ended. */
  signal?: AbortSignal;
  /** What is left of the engine before, and where the new one's page memory is kept; left out: it ends with the engine. */
  memory?: KeptMemory;
  /** An engine that has said nothing for so long is taken for dead; left out: never. */
  silenceMs?: number;
}

/** @throws EngineStartError */
export type StartEngine = (config: EngineConfig, hooks: EngineStartHooks) => Promise<EngineClient>;

/** The engine did not come up. */
export class EngineStartError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = new.target.name;
    this.hint = hint;
  }
}
