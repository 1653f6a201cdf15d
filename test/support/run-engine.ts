import { type LoadedEngine, loadEngine } from '../../src/engine/load-engine.js';
import type {
  EngineConfig,
  EngineEvent,
  EngineRequest,
  FinishReason,
  TokenLogprobs,
} from '../../src/engine/protocol.js';
import { engineConfig } from './engine-requests.js';

/** What a client sees of one choice. */
export interface Transcript {
  tokens: number[];
  logprobs: (TokenLogprobs | undefined)[];
  reason: FinishReason | undefined;
}

/** An engine in this process whose books are checked after every step. */
export function openEngine(config: Partial<EngineConfig> & { modelPath: string }): Promise<LoadedEngine> {
  return loadEngine(engineConfig({ threads: 2, ...config }), { onProgress() {}, onLog() {} });
}

/** Collects events by request and choice: key `id/choice`. */
export function createRecorder() {
  const transcripts = new Map<string, Transcript>();
  const cachedTokens = new Map<string, number>();
  const vectors = new Map<string, Float32Array>();
  const promptLogprobs = new Map<string, TokenLogprobs[]>();
  const of = (requestId: string, choice: number): Transcript => {
    const key = `${requestId}/${choice}`;
    const known = transcripts.get(key) ?? { tokens: [], logprobs: [], reason: undefined };
    transcripts.set(key, known);
    return known;
  };
  const record = (events: EngineEvent[]): void => {
    for (const event of events) {
      if (event.type === 'started') cachedTokens.set(event.requestId, event.cachedTokens);
      else if (event.type === 'finished') of(event.requestId, event.choice).reason = event.reason;
      else if (event.type === 'token') {
        of(event.requestId, event.choice).tokens.push(event.token);
        of(event.requestId, event.choice).logprobs.push(event.logprobs);
      } else if (event.type === 'promptLogprobs') promptLogprobs.set(event.requestId, event.logprobs);
      else if (event.type === 'embedding') vectors.set(event.requestId, event.vector);
      else if (event.type === 'rejected') throw new Error(`${event.requestId} was rejected: ${event.message}`);
    }
  };
  return { transcripts, cachedTokens, vectors, promptLogprobs, record };
}

/** The requests that have not ended, as another engine goes on with them. */
export function unfinished(requests: readonly EngineRequest[], transcripts: Map<string, Transcript>): EngineRequest[] {
  return requests.flatMap((request) => {
    const open = Array.from({ length: request.n }, (_, choice) => ({
      choice,
      ...(transcripts.get(`${request.id}/${choice}`) ?? { tokens: [], reason: undefined }),
    })).filter(({ reason }) => reason === undefined);
    const resume = open.some(({ tokens }) => tokens.length > 0)
      ? open.map(({ choice, tokens }) => ({ choice, tokens: [...tokens] }))
      : null;
    return open.length === 0 ? [] : [{ ...request, resume }];
  });
}

/** Steps until nothing is left to do. `beforeStep` may add and abort requests. Returns what happened. */
export function runToEnd({ engine }: LoadedEngine, requests: EngineRequest[], beforeStep?: (step: number) => void) {
  const recorder = createRecorder();
  for (const request of requests) engine.add(request);
  for (let step = 0; ; step++) {
    beforeStep?.(step);
    const computed = engine.step();
    recorder.record(engine.takeEvents());
    if (!computed && !engine.hasWork()) return recorder;
  }
}
