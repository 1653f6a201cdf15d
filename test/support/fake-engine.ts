import type {
  EmbedRequest,
  EngineEvent,
  EngineInfo,
  EngineRequest,
  EngineStats,
  TokenLogprobs,
} from '../../src/engine/protocol.js';
import type { EngineClient, EngineFailure, StartEngine } from '../../src/serving/engines/engine-client.js';
import { createLiveRequests } from '../../src/serving/engines/live-requests.js';
import { EngineUnavailableError } from '../../src/serving/errors.js';
import type { ServingParts } from '../../src/serving/load-backend.js';
import { createChatTemplate } from '../../src/serving/text/chat-template.js';
import { createTokenizer, type Vocabulary } from '../../src/serving/text/tokenizer.js';
import { createFakeVocabulary, EOS, IM_END } from './fake-vocabulary.js';

export interface FakeEngineOptions {
  info?: Partial<EngineInfo>;
  /** The token a choice has at a position of its output, from 0. Left out: the alphabet, from letter `choice` on. */
  token?(request: EngineRequest, choice: number, position: number): number;
  /** Milliseconds between steps; 0: as soon as the event loop turns; `manual`: only by `step()`. */
  pace?: number | 'manual';
}

/** An engine in this process: every running choice gets one token per step, whatever the request says. */
export interface FakeEngine extends EngineClient {
  step(): void;
  /** Tells that the next step has everything that waits, and goes no further. */
  admit(): void;
  die(failure: EngineFailure): void;
  /** Every request submitted so far. */
  readonly requests: EngineRequest[];
  readonly embedRequests: EmbedRequest[];
}

interface FakeSequence {
  request: EngineRequest;
  choice: number;
  generated: number;
}

const fakeInfo: EngineInfo = {
  modelPath: '/models/fake.gguf',
  modelDescription: 'fake',
  parameters: 1000,
  weightBytes: 4000,
  vocabSize: 260,
  embeddingSize: 4,
  pooling: 'last',
  maxModelLen: 4096,
  blockSize: 16,
  numBlocks: 4096,
  kvCacheBytes: 0,
  maxNumSeqs: 256,
  maxNumBatchedTokens: 512,
  threads: 1,
  kvBackend: 'pages',
  kvBackendReason: 'they serve this model',
  kvCacheDtype: 'f16',
  kernel: 'portable',
  cpuBackend: 'x64',
  batchInvariant: true,
  batchInvariantReason: 'it is a fake',
  rowPadding: 1,
  lanes: 1,
  selfTested: 'all of it',
  loadMs: 0,
};

export function createFakeEngine(options: FakeEngineOptions = {}): FakeEngine {
  const { pace = 0, token = (_, choice, position) => 97 + ((choice + position) % 26) } = options;
  const info = { ...fakeInfo, ...options.info };
  const requests: EngineRequest[] = [];
  const live = createLiveRequests();
  let running: FakeSequence[] = [];
  let waiting: FakeSequence[] = [];
  const embedRequests: EmbedRequest[] = [];
  let embedding: EmbedRequest[] = [];
  let aborted: FakeSequence[] = [];
  let timer: NodeJS.Timeout | NodeJS.Immediate | undefined;
  let gone = false;
  let steps = 0;
  let generatedTokens = 0;
  let promptTokens = 0;
  let resolveClosed: (failure: EngineFailure | undefined) => void;
  const closed = new Promise<EngineFailure | undefined>((resolve) => {
    resolveClosed = resolve;
  });

  function schedule(): void {
    if (pace === 'manual' || timer !== undefined || gone) return;
    if (running.length + waiting.length + embedding.length + aborted.length === 0) return;
    const run = () => {
      timer = undefined;
      step();
    };
    timer = pace === 0 ? setImmediate(run) : setTimeout(run, pace);
  }

  function step(): void {
    const events: EngineEvent[] = aborted.map((sequence) => finished(sequence, 'abort'));
    aborted = [];
    const admitted = waiting.splice(0, info.maxNumSeqs - running.length);
    for (const { request } of admitted) events.push({ type: 'admitted', requestId: request.id });
    running.push(...admitted);
    running = running.filter((sequence) => advance(sequence, events) === 'running');
    for (const { id: requestId, promptTokenIds } of embedding.splice(0)) {
      events.push({ type: 'embedding', requestId, vector: fakeVector(promptTokenIds) });
      events.push({ type: 'finished', requestId, choice: 0, reason: 'stop' });
    }
    steps += 1;
    live.dispatch(events);
    schedule();
  }

  function advance(sequence: FakeSequence, events: EngineEvent[]): 'running' | 'finished' {
    const { request, choice } = sequence;
    const { sampling } = request;
    if (sequence.generated === 0 && choice === 0) {
      const { promptTokenIds, promptLogprobs } = request;
      if (promptLogprobs !== null) {
        const logprobs = Array.from(promptTokenIds.subarray(1), (id) => fakeLogprobs(id, promptLogprobs));
        events.push({ type: 'promptLogprobs', requestId: request.id, logprobs });
      }
      events.push({ type: 'started', requestId: request.id, cachedTokens: 0 });
      promptTokens += request.promptTokenIds.length;
    }
    const ends = (candidate: number) =>
      sampling.stopTokenIds.includes(candidate) || (!sampling.ignoreEos && [EOS, IM_END].includes(candidate));
    const chosen = token(request, choice, sequence.generated);
    // As the real one does, by masking: an end cannot be chosen before minTokens.
    const allowed = sequence.generated < sampling.minTokens && ends(chosen) ? 32 : chosen;
    sequence.generated += 1;
    generatedTokens += 1;
    const logprobs = sampling.logprobs === null ? undefined : fakeLogprobs(allowed, sampling.logprobs);
    events.push({ type: 'token', requestId: request.id, choice, token: allowed, logprobs });
    if (ends(allowed)) events.push({ ...finished(sequence, 'stop'), stopToken: allowed });
    else if (sequence.generated === sampling.maxTokens) events.push(finished(sequence, 'length'));
    else return 'running';
    return 'finished';
  }

  function end(failure: EngineFailure | undefined): void {
    if (gone) return;
    gone = true;
    clearTimeout(timer as NodeJS.Timeout);
    clearImmediate(timer as NodeJS.Immediate);
    if (failure === undefined) live.finishAll('abort');
    resolveClosed(failure);
  }

  const stats = (): EngineStats => ({
    runningSequences: running.length,
    waitingRequests: waiting.length,
    blocksTotal: info.numBlocks,
    blocksUsed: running.length,
    blocksCached: 0,
    blocksFree: info.numBlocks - running.length,
    steps,
    promptTokensComputed: promptTokens,
    generatedTokens,
    prefixQueriedTokens: promptTokens,
    prefixHitTokens: 0,
    preemptions: 0,
    decodeMs: 0,
    stepMs: 0,
  });

  return {
    info,
    requests,
    embedRequests,
    closed,
    stats,
    step,
    admit() {
      live.dispatch(waiting.map(({ request }) => ({ type: 'admitted', requestId: request.id })));
    },
    die: end,
    async close() {
      end(undefined);
    },
    submit(request, onEvents) {
      if (gone) throw new EngineUnavailableError('The engine is not running.');
      live.add(request, onEvents);
      requests.push(request);
      const all = Array.from({ length: request.n }, (_, choice) => ({ choice, tokens: [] as number[] }));
      for (const { choice, tokens } of request.resume ?? all) {
        waiting.push({ request, choice, generated: tokens.length });
      }
      schedule();
    },
    embed(request, onEvents) {
      if (gone) throw new EngineUnavailableError('The engine is not running.');
      live.add({ id: request.id, n: 1 }, onEvents);
      embedRequests.push(request);
      embedding.push(request);
      schedule();
    },
    abort(requestId, choice) {
      embedding = embedding.filter(({ id }) => {
        if (id !== requestId) return true;
        live.dispatch([{ type: 'finished', requestId, choice: 0, reason: 'abort' }]);
        return false;
      });
      const isMeant = (sequence: FakeSequence) =>
        sequence.request.id === requestId && (choice === undefined || sequence.choice === choice);
      aborted.push(...running.filter(isMeant), ...waiting.filter(isMeant));
      running = running.filter((sequence) => !isMeant(sequence));
      waiting = waiting.filter((sequence) => !isMeant(sequence));
      schedule();
    },
  };
}

/** Parts for `createServing` that load nothing and answer with `engine`, over the fake byte vocabulary. */
export function fakeServingParts(
  engine: EngineClient,
  options: { vocabulary?: Vocabulary; chatTemplate?: string } = {},
): Partial<ServingParts> & { startEngine: StartEngine } {
  const { vocabulary = createFakeVocabulary(), chatTemplate } = options;
  return {
    resolveModel: async (reference) => ({ path: engine.info.modelPath, name: 'fake', source: reference, notes: [] }),
    loadModelText: () => ({
      tokenizer: createTokenizer(vocabulary),
      template: createChatTemplate(chatTemplate, vocabulary),
      dispose() {},
    }),
    startEngine: async () => engine,
    restartDelaysMs: [],
  };
}

/** Of the letters' counts: texts of the same letters are close to each other. Not of length 1. */
export function fakeVector(tokens: Iterable<number>): Float32Array {
  const vector = new Float32Array(4);
  for (const token of tokens) vector[token % 4]! += 1;
  return vector;
}

function finished({ request, choice }: FakeSequence, reason: 'abort' | 'length' | 'stop') {
  return { type: 'finished', requestId: request.id, choice, reason } as const;
}

/** The chosen token is always the likeliest; those after it in the vocabulary follow at equal distances. */
function fakeLogprobs(token: number, k: number): TokenLogprobs {
  const ranks = [...Array(k).keys()];
  return {
    logprob: -0.5,
    rank: 1,
    topTokens: ranks.map((rank) => (token + rank) % 256),
    topLogprobs: ranks.map((rank) => -0.5 - rank),
  };
}
