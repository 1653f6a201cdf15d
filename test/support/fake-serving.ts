import {
  type EmbeddingRequest,
  type GeneratedToken,
  type Generation,
  type GenerationEvent,
  type GenerationFinish,
  type GenerationRequest,
  ModelNotFoundError,
  type ServedModel,
  type Serving,
  type ServingState,
  type ToolCallDelta,
} from '../../src/serving/index.js';
import { createChatTemplate } from '../../src/serving/text/chat-template.js';
import { decodeTokens } from '../../src/serving/text/detokenizer.js';
import { encodePrompt } from '../../src/serving/text/prompt.js';
import { createTokenizer } from '../../src/serving/text/tokenizer.js';
import { createFakeVocabulary } from './fake-vocabulary.js';

export const fakeModel: ServedModel = {
  id: 'fake-model',
  created: 1_700_000_000,
  maxModelLen: 4096,
  info: {
    modelPath: '/models/fake.gguf',
    modelDescription: 'fake 1B Q8_0',
    parameters: 1_000_000_000,
    weightBytes: 1_000_000_000,
    vocabSize: 256,
    embeddingSize: 4,
    pooling: 'last',
    maxModelLen: 4096,
    blockSize: 16,
    numBlocks: 1024,
    kvCacheBytes: 2 ** 28,
    maxNumSeqs: 64,
    maxNumBatchedTokens: 512,
    threads: 2,
    kvBackend: 'pages',
    kvBackendReason: 'they serve this model',
    kvCacheDtype: 'f16',
    kernel: 'portable',
    cpuBackend: 'x64',
    batchInvariant: true,
    batchInvariantReason: 'Q8_0 is invariant at every batch size',
    rowPadding: 1,
    lanes: 1,
    loadMs: 1,
  },
};

const vocabulary = createFakeVocabulary({ addBos: true });
const fakeText = {
  tokenizer: createTokenizer(vocabulary),
  template: createChatTemplate(undefined, vocabulary),
  dispose() {},
};

export interface FakeServing extends Serving {
  /** What was asked of it, in order. */
  readonly requests: GenerationRequest[];
  readonly embeddings: EmbeddingRequest[];
  /** Ids of the generations that were aborted before their end. */
  readonly aborted: string[];
  /** Events handed to readers so far. */
  eventsRead: number;
  setState(state: ServingState): void;
}

/** What a generation says: its events in order; it may throw, or wait for things outside. */
export type Script = (request: GenerationRequest) => Iterable<GenerationEvent> | AsyncIterable<GenerationEvent>;

/** A serving without a model: every generation follows a script, one event per read. */
export function fakeServing(script: Script = replies('Hello', ' there', '!')): FakeServing {
  let state: ServingState = { state: 'ready' };

  const resolveModel = (name = 'default'): ServedModel => {
    if (name !== 'default' && name !== fakeModel.id && name !== 'org/fake') throw new ModelNotFoundError(name);
    return fakeModel;
  };

  const serving: FakeServing = {
    requests: [],
    embeddings: [],
    aborted: [],
    eventsRead: 0,
    setState(next) {
      state = next;
    },
    state: () => state,
    models: () => [fakeModel],
    resolveModel,
    async generate(request, signal) {
      const { onCounted, ...rest } = request;
      serving.requests.push(rest);
      const promptTokens = request.prompt.kind === 'tokens' ? request.prompt.tokenIds.length : 10;
      await onCounted?.(promptTokens, request.sampling.maxTokens ?? 0);
      return startScript(serving, request, resolveModel(request.model), script, signal);
    },
    tokenize(name, prompt, tools) {
      const model = resolveModel(name);
      const { tokenIds, rendered } = encodePrompt(prompt, fakeText, model.maxModelLen, tools);
      const pieces = () => Array.from(tokenIds, (token) => fakeText.tokenizer.piece(token, true));
      return { model, tokenIds, rendered, pieces };
    },
    detokenize: (name, tokenIds) => ({ model: resolveModel(name), text: decodeTokens(fakeText.tokenizer, tokenIds) }),
    async embed(request) {
      const { onCounted, ...rest } = request;
      serving.embeddings.push(rest);
      const model = resolveModel(request.model);
      const tokens = request.prompts.map((prompt) => encodePrompt(prompt, fakeText, model.maxModelLen).tokenIds);
      const promptTokens = tokens.reduce((sum, { length }) => sum + length, 0);
      await onCounted?.(promptTokens, 0);
      return { model, vectors: tokens.map((ids) => Float32Array.of(0.6, 0.8, ids.length, ids[1] ?? 0)), promptTokens };
    },
    stats: () => ({
      runningSequences: 3,
      waitingRequests: 2,
      blocksTotal: 1024,
      blocksUsed: 20,
      blocksCached: 4,
      blocksFree: 1000,
      steps: 7,
      promptTokensComputed: 70,
      generatedTokens: 30,
      prefixQueriedTokens: 100,
      prefixHitTokens: 30,
      preemptions: 1,
      engineRestarts: 0,
      decodeMs: 1,
      stepMs: 2,
    }),
    async close() {
      state = { state: 'closed' };
    },
  };
  return serving;
}

function startScript(
  serving: FakeServing,
  request: GenerationRequest,
  model: ServedModel,
  script: Script,
  signal?: AbortSignal,
): Generation {
  const promptTokens = request.prompt.kind === 'tokens' ? request.prompt.tokenIds.length : 10;
  let completionTokens = 0;
  let reasoningTokens = 0;
  let ended = false;
  let abort = (): void => {};
  const aborted = new Promise<'aborted'>((resolve) => {
    abort = () => {
      if (!ended) serving.aborted.push(request.id);
      ended = true;
      resolve('aborted');
    };
  });
  signal?.addEventListener('abort', () => abort());

  async function* events(): AsyncGenerator<GenerationEvent> {
    const source = toAsync(script(request));
    try {
      for (;;) {
        const next = await Promise.race([source.next(), aborted]);
        if (next === 'aborted') {
          yield finish(0, 'abort');
          return;
        }
        if (next.done) break;
        serving.eventsRead += 1;
        if (next.value.type === 'delta') {
          completionTokens += 1;
          if (next.value.reasoning !== '') reasoningTokens += 1;
        }
        yield next.value;
      }
      ended = true;
    } finally {
      abort();
    }
  }

  return {
    id: request.id,
    model,
    promptTokenIds: Int32Array.from({ length: promptTokens }, () => 112),
    events: events(),
    promptLogprobs: () =>
      request.promptLogprobs === undefined ? undefined : [null, { ...token('p', request.promptLogprobs), rank: 2 }],
    usage: () => ({ promptTokens, cachedTokens: 4, completionTokens, reasoningTokens }),
    abort: () => abort(),
  };
}

async function* toAsync<T>(source: Iterable<T> | AsyncIterable<T>): AsyncGenerator<T> {
  yield* source;
}

/** Every choice says these words, one delta each, all choices in turn; log-probabilities come if asked for. */
export function replies(...words: string[]): Script {
  return function* (request) {
    const choices = Array.from({ length: request.n ?? 1 }, (_, choice) => choice);
    for (const word of words) {
      for (const choice of choices) yield delta(choice, word, request.sampling.logprobs ?? undefined);
    }
    for (const choice of choices) yield finish(choice, 'stop');
  };
}

/** @param alternatives How many likeliest tokens come with it; left out: no log-probabilities. */
export function delta(choice: number, text: string, alternatives?: number): GenerationEvent {
  const tokens = alternatives === undefined ? [] : [token(text, alternatives)];
  return { type: 'delta', choice, text, reasoning: '', toolCalls: [], tokens };
}

/** What the model thinks. */
export function thought(choice: number, reasoning: string): GenerationEvent {
  return { type: 'delta', choice, text: '', reasoning, toolCalls: [], tokens: [] };
}

/** Pieces of one tool call, each an event of its own; the first one names the function. */
export function call(choice: number, index: number, name: string, ...pieces: string[]): GenerationEvent[] {
  const first: ToolCallDelta = { index, id: `call_${index}`, name, arguments: '' };
  return [first, ...pieces.map((json) => ({ index, arguments: json }))].map((delta) => ({
    type: 'delta',
    choice,
    text: '',
    reasoning: '',
    toolCalls: [delta],
    tokens: [],
  }));
}

export function finish(
  choice: number,
  reason: GenerationFinish['reason'],
  stopReason: string | number | null = null,
): GenerationEvent {
  return { type: 'finish', choice, reason, stopReason };
}

function token(text: string, alternatives: number): GeneratedToken {
  const named = (name: string, logprob: number) => ({
    tokenId: name.length,
    token: name,
    bytes: [...Buffer.from(name)],
    logprob,
  });
  const top = [named(text, -0.25), named(`${text}?`, -1.5), named(`${text}…`, Number.NEGATIVE_INFINITY)];
  return { ...named(text, -0.25), top: top.slice(0, alternatives) };
}
