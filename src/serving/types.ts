/**
 * The one interface between protocols (`api/`) and generation: an API-neutral request in, a stream of text out.
 */
import type { EngineInfo, EngineStats, FinishReason, SamplingParams } from '../engine/protocol.js';

/** A chat message as chat templates see it. Text-only content is a string; protocols flatten their content parts. */
export interface ChatMessage {
  role: string;
  content: string;
  name?: string;
  [extra: string]: unknown;
}

export type Prompt =
  | { kind: 'text'; text: string }
  | { kind: 'tokens'; tokenIds: readonly number[] }
  | {
      kind: 'chat';
      messages: readonly ChatMessage[];
      tools?: readonly unknown[];
      addGenerationPrompt?: boolean;
      templateArguments?: Record<string, unknown>;
    };

/**
 * Sampling fields left out take their defaults from `defaultSampling`; `maxTokens` left out means: up to the model's
 * length.
 */
export interface GenerationRequest {
  /** Absent or `default`: the default model. */
  model?: string;
  /** The id the client sees, e.g. `chatcmpl-…`; unique among live requests. */
  id: string;
  prompt: Prompt;
  sampling: Partial<SamplingParams>;
  n?: number;
  /** Generation of a choice ends before the first of these strings that its text contains. */
  stop?: readonly string[];
  /** Leave the stop string in the text. */
  includeStopInOutput?: boolean;
  /** Render special tokens in the text. */
  keepSpecialTokens?: boolean;
  priority?: number;
  cacheSalt?: string;
}

export interface TokenLogprob {
  tokenId: number;
  /** The token's text, with U+FFFD where its bytes are not UTF-8 by themselves. */
  token: string;
  bytes: number[];
  logprob: number;
}

export interface GeneratedToken extends TokenLogprob {
  /** The likeliest tokens in its place, best first. */
  top: TokenLogprob[];
}

/** Deltas of one choice that arrived together. Text may lag behind tokens: possible stop strings are held back. */
export interface GenerationDelta {
  type: 'delta';
  choice: number;
  text: string;
  /** The tokens whose text is now out, in order; empty unless log-probabilities were asked for. */
  tokens: GeneratedToken[];
}

export interface GenerationFinish {
  type: 'finish';
  choice: number;
  reason: FinishReason;
  /** The stop string or token id that ended it, when it was not the model's own end token. */
  stopReason: string | number | null;
}

export interface Usage {
  promptTokens: number;
  /** Prompt tokens whose KV came from the prefix cache. */
  cachedTokens: number;
  /** Over all choices. */
  completionTokens: number;
}

export type GenerationEvent = GenerationDelta | GenerationFinish;

/**
 * A running request. `events` ends after every choice has finished; it can be iterated once. Leaving the loop early, or
 * `abort()`, aborts the request in the engine. Reading slowly is fine: deltas that wait are merged, nobody else waits.
 */
export interface Generation {
  readonly id: string;
  readonly model: ServedModel;
  readonly promptTokenIds: Int32Array;
  readonly events: AsyncIterable<GenerationEvent>;
  /** Final once `events` has ended; running totals before. */
  usage(): Usage;
  abort(): void;
}

export interface ServedModel {
  id: string;
  /** Unix seconds. */
  created: number;
  maxModelLen: number;
  info: EngineInfo;
}

export type ServingState =
  | { state: 'loading'; phase: string; fraction: number }
  | { state: 'ready' }
  | { state: 'failed'; message: string; hint?: string }
  | { state: 'closed' };

export interface Serving {
  state(): ServingState;
  models(): ServedModel[];
  /** @throws ModelNotFoundError */
  resolveModel(name: string | undefined): ServedModel;
  /**
   * Renders, tokenises, checks and submits. Resolves once the request is handed to the engine.
   * @throws RequestError and its kinds (see errors.ts) for everything the client can mend.
   */
  generate(request: GenerationRequest, signal?: AbortSignal): Promise<Generation>;
  stats(): EngineStats | undefined;
  close(): Promise<void>;
}
