/**
 * What the gateway and an engine process say to each other: plain data, structured-clone safe.
 *
 * The gateway writes one {@link GatewayMessage} at a time; the engine collects everything a step produced and writes one
 * {@link EngineMessage} of type `step`. Both sides carry {@link PROTOCOL_VERSION} in their first message and refuse to
 * work with another version, so that a half-upgraded installation fails at start and not in the middle of an answer.
 */
import type { Grammar } from '../grammar/index.js';

export type { Grammar };

export const PROTOCOL_VERSION = 5;

/**
 * Most sequences that an engine runs at once: a step gives every sequence an id of its own, llama.cpp has 256 of them,
 * and padding rows take one.
 */
export const MAX_SEQUENCES = 255;

/** How the tokens of a request are chosen. All fields are set: defaults belong to the API, not to the engine. */
export interface SamplingParams {
  /** 0 means greedy. */
  temperature: number;
  /** Keep the k likeliest tokens; 0 means all. */
  topK: number;
  /** Keep the smallest set of tokens whose probabilities sum to at least this; 1 means all. */
  topP: number;
  /** Keep tokens at least this fraction as likely as the likeliest; 0 means all. */
  minP: number;
  /** Locally typical sampling mass (Meister et al. 2022); 1 means off. */
  typicalP: number;
  /** Divides positive and multiplies negative logits of tokens seen in prompt or output; 1 means off. */
  repetitionPenalty: number;
  /** Subtracted once from the logit of every token already generated. */
  presencePenalty: number;
  /** Subtracted from a token's logit for each time it was generated. */
  frequencyPenalty: number;
  /** Pairs of token id and the value added to its logit. */
  logitBias: ReadonlyArray<readonly [token: number, bias: number]>;
  /** Any safe integer. Together with choice index and position it determines every random number of the request. */
  seed: number;
  /** End-of-generation and stop tokens cannot be chosen before this many tokens. */
  minTokens: number;
  /** The request ends with reason `length` after this many tokens; at least 1. */
  maxTokens: number;
  /** Go on after the model's end-of-generation tokens. */
  ignoreEos: boolean;
  /** Token ids that end the request with reason `stop`, besides the model's own. */
  stopTokenIds: readonly number[];
  /** null: no log-probabilities; k ≥ 0: the chosen token's and the k likeliest alternatives'. */
  logprobs: number | null;
  /** The only tokens that can be chosen; null: all. */
  allowedTokenIds: readonly number[] | null;
  /** Sequences of tokens that are never generated: where all but its last token stand, the last one is not chosen. */
  badWords: ReadonlyArray<readonly number[]>;
  /** null: the model may think as long as it likes. */
  thinking: ThinkingBudget | null;
}

/** How long a model may think before it answers. */
export interface ThinkingBudget {
  /** What begins and ends its thinking. */
  open: readonly number[];
  close: readonly number[];
  /** The prompt has begun it. */
  isOpen: boolean;
  /** After so many tokens, `close` is generated whatever the model says; a grammar goes before that. */
  tokens: number;
}

/** One prompt and `n` independent continuations of it. */
export interface EngineRequest {
  id: string;
  promptTokenIds: Int32Array;
  sampling: SamplingParams;
  /** Number of choices, each with its own index from 0. */
  n: number;
  /** Lower runs earlier; ties go by what the tenant was served, then by arrival. */
  priority: number;
  /** On whose behalf it runs; '' for nobody in particular. Tenants share the engine evenly. */
  tenant: string;
  /** Prefix-cache blocks are shared only between requests with the same salt. */
  cacheSalt: string;
  /** null: none; k ≥ 0: log-probabilities of the prompt's tokens, and of the k likeliest in the place of each. */
  promptLogprobs: number | null;
  /**
   * What may be generated; null: anything. A choice whose text is complete can only go on with one of the model's
   * end-of-generation tokens, which then ends it, whatever `minTokens` and `ignoreEos` say.
   */
  grammar: Grammar | null;
  /**
   * null: a new request. Else it goes on where another engine left it: only these choices, behind these tokens of theirs,
   * at least one each. What comes next is what would have come there.
   */
  resume: readonly ResumedChoice[] | null;
}

/** A choice that another engine has begun. */
export interface ResumedChoice {
  choice: number;
  tokens: readonly number[];
}

/** How the hidden states of a prompt's tokens become one vector: their mean, or the last one's. */
export type Pooling = 'mean' | 'last';

/** One prompt, and an embedding of it. */
export interface EmbedRequest {
  /** Unlike those of all other requests, of either kind. */
  id: string;
  promptTokenIds: Int32Array;
  pooling: Pooling;
  /** As of an {@link EngineRequest}. */
  priority: number;
  tenant: string;
  cacheSalt: string;
}

export type FinishReason = 'stop' | 'length' | 'abort' | 'error';

/** Natural-log probabilities under the model's own distribution (before temperature and filters). */
export interface TokenLogprobs {
  logprob: number;
  /** 1 for the likeliest token. */
  rank: number;
  /** The likeliest tokens, best first. */
  topTokens: number[];
  topLogprobs: number[];
}

export type EngineEvent =
  /** The request is part of the step that begins now; the first event of every request that is not rejected. */
  | { type: 'admitted'; requestId: string }
  /** The prompt is computed and the first tokens follow; `cachedTokens` of it came from the prefix cache. */
  | { type: 'started'; requestId: string; cachedTokens: number }
  | { type: 'token'; requestId: string; choice: number; token: number; logprobs?: TokenLogprobs }
  /** Of each token of the prompt but the first, when they were asked for; right before `started`. */
  | { type: 'promptLogprobs'; requestId: string; logprobs: TokenLogprobs[] }
  /** The embedding that was asked for, not normalised; `finished` with reason `stop` follows. */
  | { type: 'embedding'; requestId: string; vector: Float32Array }
  /**
   * `stopToken` is the token that ended it, when reason is `stop`: it was sent as a `token` event before. `message` says to
   * the client why reason is `error`, where it is the request that cannot be served, and not the engine that is gone.
   */
  | { type: 'finished'; requestId: string; choice: number; reason: FinishReason; stopToken?: number; message?: string }
  /** The request was not accepted (it can never fit, or is malformed); no other event follows. */
  | { type: 'rejected'; requestId: string; message: string };

/** Counters are totals since the engine started; the rest describes the moment after the step. */
export interface EngineStats {
  runningSequences: number;
  waitingRequests: number;
  blocksTotal: number;
  /** Blocks in some sequence's block table. */
  blocksUsed: number;
  /** Blocks in no table whose contents can still be found by the prefix index. */
  blocksCached: number;
  /** Blocks in no table with nothing worth keeping. */
  blocksFree: number;
  steps: number;
  promptTokensComputed: number;
  generatedTokens: number;
  /** Prompt tokens looked up in, and found in, the prefix index. */
  prefixQueriedTokens: number;
  prefixHitTokens: number;
  preemptions: number;
  /** Milliseconds spent in llama_decode, and in whole steps. */
  decodeMs: number;
  stepMs: number;
}

/** Where the KV cache lives: in our pages, or in the cells of llama.cpp's own unified cache. */
export type KVBackend = 'pages' | 'cells';

/** What an engine tells about itself once, when it can take requests. */
export interface EngineInfo {
  modelPath: string;
  modelDescription: string;
  parameters: number;
  weightBytes: number;
  vocabSize: number;
  /** Length of an embedding, and how they are pooled unless a request says otherwise. */
  embeddingSize: number;
  pooling: Pooling;
  maxModelLen: number;
  blockSize: number;
  numBlocks: number;
  kvCacheBytes: number;
  maxNumSeqs: number;
  maxNumBatchedTokens: number;
  threads: number;
  kvBackend: KVBackend;
  /** Why this backend runs and not the other. */
  kvBackendReason: string;
  /** How keys and values are stored. */
  kvCacheDtype: 'f16' | 'i16' | 'q8_0';
  /** What computes attention: the instruction set of our kernel, e.g. `avx512` or `portable`, or `llama.cpp`. */
  kernel: string;
  /** CPU variant of llama.cpp's backend, e.g. `zen4`. */
  cpuBackend: string;
  /** Whether answers are bit-identical alone and in a crowd, and why (not). */
  batchInvariant: boolean;
  batchInvariantReason: string;
  /** Rows of a step are padded to a multiple of this (1: not padded). */
  rowPadding: number;
  /** Contexts that compute a large step side by side, each a part of its rows; 1: there is one for all. */
  lanes: number;
  /** A hash of all that the self-test of pages was passed with: files, kernel, shape. Undefined for cells. */
  selfTested?: string;
  loadMs: number;
}

/** What the self-test of pages has found. */
export type SelfTestVerdict = Pick<
  EngineInfo,
  'batchInvariant' | 'batchInvariantReason' | 'rowPadding' | 'lanes' | 'selfTested'
>;

/** Everything an engine process needs to start; sizes of 0 mean: choose from the model and the machine. */
export interface EngineConfig {
  modelPath: string;
  device: 'auto' | 'cpu' | 'cuda' | 'vulkan' | 'metal';
  threads: number;
  maxModelLen: number;
  maxNumSeqs: number;
  maxNumBatchedTokens: number;
  blockSize: number;
  kvCacheBytes: number;
  policy: 'continuous' | 'dynamic' | 'static';
  /** How long policy `dynamic` waits for a batch to fill. */
  batchWindowMs: number;
  /** `auto` takes pages where they can serve model and device. */
  kvBackend: 'auto' | KVBackend;
  /** How keys and values are stored; `auto` is i16 in pages and f16 in cells. */
  kvCacheDtype: 'auto' | 'f16' | 'i16' | 'q8_0';
  /** `none` reads weights into memory, `mmap` maps the file; `auto` reads them where that is of use and they are not large. */
  loadMode: 'auto' | 'none' | 'mmap';
  /** Longest that a step may take, in ms, when prompts share it with running answers; 0: no limit. */
  targetItlMs: number | 'auto';
  enablePrefixCaching: boolean;
  batchInvariant: 'auto' | 'on' | 'off';
  /** Check the allocator's books after every step instead of only when idle. */
  checkEveryStep: boolean;
  /** Of an engine before this one: with the very same files it need not be found again, which takes a while. */
  verdict?: SelfTestVerdict;
}

export type GatewayMessage =
  /** `keptMemory`: pages are to be in memory that outlives the engine, in that of this file descriptor or in a new one. */
  | { type: 'start'; version: number; config: EngineConfig; keptMemory?: 'new' | number }
  | { type: 'add'; request: EngineRequest }
  | { type: 'embed'; request: EmbedRequest }
  /** Ends a request, or one choice of it; its pages are free after the running step. */
  | { type: 'abort'; requestId: string; choice?: number }
  /** To be answered by `pong`, between two steps. */
  | { type: 'ping' }
  | { type: 'shutdown' };

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export type EngineMessage =
  | { type: 'hello'; version: number }
  | { type: 'progress'; phase: string; fraction: number }
  /** `keptMemory`: the engine's file descriptor of the memory that its pages are in, if that can outlive it. */
  | { type: 'ready'; info: EngineInfo; stats: EngineStats; keptMemory?: number }
  | { type: 'step'; events: EngineEvent[]; stats: EngineStats }
  /** Right before a step: requests that are part of one for the first time. */
  | { type: 'admitted'; requestIds: string[] }
  | { type: 'pong' }
  | { type: 'log'; level: LogLevel; message: string }
  /** The engine cannot start or cannot go on; the process exits after this. `hint` says what the user can do. */
  | { type: 'fatal'; message: string; hint?: string };
