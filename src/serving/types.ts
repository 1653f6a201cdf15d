/**
 * The one interface between protocols (`api/`) and generation: an API-neutral request in, a stream of text out.
 */
import type { EngineInfo, EngineStats, FinishReason, Pooling, SamplingParams } from '../engine/protocol.js';
import type { TokenPiece } from './text/tokenizer.js';

/** A chat message as chat templates see it. Text-only content is a string; protocols flatten their content parts. */
export interface ChatMessage {
  role: string;
  content: string;
  name?: string;
  /** Of an assistant's message, in OpenAI's shape, but with the arguments as an object, as templates expect them. */
  tool_calls?: readonly { id: string; type: 'function'; function: { name: string; arguments: unknown } }[];
  /** Of a tool's message: the call that it answers. */
  tool_call_id?: string;
  /** What an assistant thought before it answered. */
  reasoning_content?: string;
  [extra: string]: unknown;
}

/** A function that the model may call. */
export interface ToolDefinition {
  name: string;
  description?: string;
  /** JSON Schema of the arguments, an object; left out: anything. */
  parameters?: Record<string, unknown>;
}

export interface ToolUse {
  definitions: readonly ToolDefinition[];
  /** Whether the answer may, must not or must call tools, or which one it must call. */
  choice: 'auto' | 'none' | 'required' | { name: string };
  /** Whether one answer may have several calls. */
  parallel: boolean;
}

/** What a text has to look like, enforced while it is generated. */
export type StructuredOutput = (
  | { kind: 'json_object' }
  | { kind: 'json_schema'; schema: boolean | Record<string, unknown>; strict: boolean; param: string }
  | { kind: 'regex'; pattern: string }
  | { kind: 'choice'; choices: readonly string[] }
  /** EBNF with a rule `root`, as XGrammar and llama.cpp's GBNF have it. */
  | { kind: 'grammar'; grammar: string }
  /** A structural tag as XGrammar defines it. */
  | { kind: 'structural_tag'; tag: Record<string, unknown> }
) & {
  /** Names the field that says it, for errors. */
  param?: string;
};

export type Prompt =
  | {
      kind: 'text';
      text: string;
      /** Put the tokens there that the model wants at the beginning (BOS) and end of a text; default true. */
      addSpecialTokens?: boolean;
      /** Read the text of special tokens as those tokens; default true. */
      parseSpecialTokens?: boolean;
    }
  | { kind: 'tokens'; tokenIds: readonly number[] }
  /** A text with a gap, which the answer fills. */
  | { kind: 'fill'; prefix: string; suffix: string }
  | {
      kind: 'chat';
      messages: readonly ChatMessage[];
      addGenerationPrompt?: boolean;
      /** The last message is the beginning of the answer, which goes on where it ends. */
      continueFinalMessage?: boolean;
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
  /** On whose behalf: the engine shares itself evenly among those who ask. Left out: nobody in particular. */
  tenant?: string;
  cacheSalt?: string;
  structuredOutput?: StructuredOutput;
  /** Log-probabilities of the prompt's tokens, with so many alternatives each: {@link Generation.promptLogprobs}. */
  promptLogprobs?: number;
  /** Texts that are never generated. */
  badWords?: readonly string[];
  /** For a chat: most tokens that the model thinks for before it answers. */
  thinkingBudget?: number;
  /** For a chat: tools that its template tells the model of, and how calls of them are found in the answer. */
  tools?: ToolUse;
  /** For a chat: give out what the model thinks apart from its answer; default true. */
  separateReasoning?: boolean;
  /** Milliseconds after which `events` throw a DeadlineError, unless the server allows less. */
  timeoutMs?: number;
  /** It belongs to a call of which another prompt was taken: it is not refused because too many wait. */
  followsOn?: boolean;
  /** Told how long the request is before it is taken; what it throws refuses it. */
  onCounted?: OnCounted;
}

/**
 * @param promptTokens Tokens of all prompts.
 * @param maxTokens Most tokens of all choices, 0 where the request sets no limit.
 */
export type OnCounted = (promptTokens: number, maxTokens: number) => void | Promise<void>;

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

/** A token of the prompt. */
export interface PromptToken extends GeneratedToken {
  /** 1 for the likeliest in its place. */
  rank: number;
}

/** What came of one tool call. The first delta of a call has its id and name; `arguments` are pieces of JSON text. */
export interface ToolCallDelta {
  /** Of the call within the choice, from 0. */
  index: number;
  id?: string;
  name?: string;
  arguments: string;
}

/** Deltas of one choice that arrived together. Text may lag behind tokens: possible stop strings are held back. */
export interface GenerationDelta {
  type: 'delta';
  choice: number;
  text: string;
  /** What the model thinks before it answers; '' unless it is separated. */
  reasoning: string;
  toolCalls: readonly ToolCallDelta[];
  /** The tokens whose text is now out, in order; empty unless log-probabilities were asked for. */
  tokens: readonly GeneratedToken[];
}

export interface GenerationFinish {
  type: 'finish';
  choice: number;
  /** `tool_calls` in place of `stop` when the choice has any. */
  reason: FinishReason | 'tool_calls';
  /** The stop string or token id that ended it, when it was not the model's own end token. */
  stopReason: string | number | null;
}

export interface Usage {
  promptTokens: number;
  /** Prompt tokens whose KV came from the prefix cache. */
  cachedTokens: number;
  /** Over all choices. */
  completionTokens: number;
  /** Those of them that are reasoning, where it is separated: markup around it may count on either side. */
  reasoningTokens: number;
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
  /**
   * Of each token of the prompt, null for the first, which has nothing before it. Undefined unless they were asked for,
   * and before the first event.
   */
  promptLogprobs(): readonly (PromptToken | null)[] | undefined;
  /** Final once `events` has ended; running totals before. */
  usage(): Usage;
  abort(): void;
}

/** Prompts that are each to become one vector. */
export interface EmbeddingRequest {
  /** Absent or `default`: the default model. */
  model?: string;
  /** Unique among live requests. */
  id: string;
  prompts: readonly Prompt[];
  /** The request field that a prompt is from, for errors: `input[3]`. */
  field(prompt: number): string;
  /** Left out: what the model was trained for, or the last token's state. */
  pooling?: Pooling;
  /** Keep so many numbers of each vector; at most the model's. */
  dimensions?: number;
  /** Make vectors of length 1; default true. */
  normalize?: boolean;
  /** Leave out what prompts have beyond so many tokens; -1: what the model cannot take. */
  truncatePromptTokens?: number;
  priority?: number;
  cacheSalt?: string;
  /** As of a {@link GenerationRequest}. */
  tenant?: string;
  timeoutMs?: number;
  onCounted?: OnCounted;
}

export interface Embeddings {
  model: ServedModel;
  /** In the order of the prompts. */
  vectors: Float32Array[];
  /** Over all prompts. */
  promptTokens: number;
}

/** A prompt as the model would get it. */
export interface Tokenization {
  model: ServedModel;
  tokenIds: Int32Array;
  /** A chat as the template rendered it; '' for other kinds of prompts. */
  rendered: string;
  /** What each token stands for, special tokens included. */
  pieces(): TokenPiece[];
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
  /** The engine has died of what `message` says; requests are taken, and wait for the next one. */
  | { state: 'restarting'; message: string; hint?: string }
  /** `retryAt`: when another start will be tried, in ms since the epoch; without it, never. */
  | { state: 'failed'; message: string; hint?: string; retryAt?: number }
  | { state: 'closed' };

export interface Serving {
  state(): ServingState;
  models(): ServedModel[];
  /** @throws ModelNotFoundError */
  resolveModel(name: string | undefined): ServedModel;
  /**
   * Renders, tokenises, checks and submits. Resolves once the request is handed to the engine.
   * @throws RequestError and its kinds (see errors.ts) for everything the client can mend, OverloadedError when too much
   * waits already. The events may throw OverloadedError as well, before the first one, and DeadlineError.
   */
  generate(request: GenerationRequest, signal?: AbortSignal): Promise<Generation>;
  /**
   * Computes a vector for each prompt; all or none. They run in the same batch as everything else.
   * @param signal Aborts what is not computed yet; the promise is rejected then.
   * @throws RequestError and its kinds, EngineUnavailableError, OverloadedError, DeadlineError
   */
  embed(request: EmbeddingRequest, signal?: AbortSignal): Promise<Embeddings>;
  /**
   * Renders and tokenises a prompt, and does nothing else with it. It may be too long for the model, but not by far.
   * @param tools For a chat: tools that its template tells the model of.
   * @throws RequestError and its kinds, EngineUnavailableError while the model is loading
   */
  tokenize(model: string | undefined, prompt: Prompt, tools?: ToolUse): Tokenization;
  /**
   * Text of these tokens, special ones included.
   * @throws RequestError for ids that are not in the vocabulary, EngineUnavailableError while the model is loading
   */
  detokenize(model: string | undefined, tokenIds: readonly number[]): { model: ServedModel; text: string };
  /** Of the engine; its totals begin anew with each start. */
  stats(): (EngineStats & { engineRestarts: number }) | undefined;
  close(): Promise<void>;
}
