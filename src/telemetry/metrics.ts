import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

/** What the metrics read from the engine when they are scraped: totals since its start, and the present state. */
export interface EngineReading {
  runningSequences: number;
  waitingRequests: number;
  blocksUsed: number;
  blocksCached: number;
  blocksFree: number;
  promptTokensComputed: number;
  generatedTokens: number;
  prefixQueriedTokens: number;
  prefixHitTokens: number;
  preemptions: number;
  engineRestarts: number;
}

/** What an engine is, as labels of a metric. */
export interface EngineIdentity {
  kvBackend: string;
  kvBackendReason: string;
  kvCacheDtype: string;
  kernel: string;
}

/** Times one request; every method may be called at any time, `end` exactly once. */
export interface RequestTimer {
  /** New text of a choice is on its way to the client. */
  delta(choice: number): void;
  /** A choice has ended, with its finish reason. */
  finish(reason: string): void;
  /** The request is over; choices without a finish count as aborted. */
  end(): void;
}

export interface Metrics {
  /** Content type of what `render` returns. */
  readonly contentType: string;
  /** All metrics in Prometheus' text format. */
  render(): Promise<string>;
  startRequest(choices: number): RequestTimer;
}

// Bucket bounds are those of vLLM, so that dashboards can compare the two.
const FIRST_TOKEN_SECONDS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
];
const INTER_TOKEN_SECONDS = [
  0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
];
const REQUEST_SECONDS = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680];

/**
 * Prometheus metrics of one server, in a registry of their own so that two servers in one process do not add up.
 *
 * Both functions are called at each scrape, `readEngine` once per metric; undefined means that there is no engine yet.
 */
export function createMetrics(
  readEngine: () => EngineReading | undefined,
  identifyEngine: () => EngineIdentity | undefined,
): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const gauge = (name: string, help: string, read: (engine: EngineReading) => number) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        const engine = readEngine();
        if (engine) this.set(read(engine));
      },
    });

  // The engine counts, prom-client only increments: a scrape replaces the total. A restarted engine begins at 0 again,
  // which Prometheus takes for a counter reset.
  const total = (name: string, help: string, read: (engine: EngineReading) => number) =>
    new Counter({
      name,
      help,
      registers,
      collect() {
        const engine = readEngine();
        if (!engine) return;
        this.reset();
        this.inc(read(engine));
      },
    });

  gauge('quire_num_requests_running', 'Sequences in the running batch.', (e) => e.runningSequences);
  gauge('quire_num_requests_waiting', 'Requests waiting to be scheduled.', (e) => e.waitingRequests);
  total('quire_prompt_tokens_total', 'Prompt tokens computed (cached ones are not).', (e) => e.promptTokensComputed);
  total('quire_generation_tokens_total', 'Tokens generated.', (e) => e.generatedTokens);
  total('quire_prefix_cache_queries_total', 'Prompt tokens looked up in the cache.', (e) => e.prefixQueriedTokens);
  total('quire_prefix_cache_hits_total', 'Prompt tokens found in the prefix cache.', (e) => e.prefixHitTokens);
  total('quire_preemptions_total', 'Sequences preempted to free KV cache blocks.', (e) => e.preemptions);
  total('quire_engine_restarts_total', 'Engine processes that died and were replaced.', (e) => e.engineRestarts);
  new Gauge({
    name: 'quire_kv_blocks',
    help: 'KV cache blocks by state: in use, free with contents that may be reused, and free.',
    labelNames: ['state'],
    registers,
    collect() {
      const engine = readEngine();
      if (!engine) return;
      this.set({ state: 'used' }, engine.blocksUsed);
      this.set({ state: 'cached' }, engine.blocksCached);
      this.set({ state: 'free' }, engine.blocksFree);
    },
  });

  new Gauge({
    name: 'quire_engine_info',
    help: 'Always 1: which KV backend runs and why, how it stores keys and values, and what computes attention.',
    labelNames: ['kv_backend', 'kv_backend_reason', 'kv_cache_dtype', 'kernel'],
    registers,
    collect() {
      const engine = identifyEngine();
      if (!engine) return;
      const {
        kvBackend: kv_backend,
        kvBackendReason: kv_backend_reason,
        kvCacheDtype: kv_cache_dtype,
        kernel,
      } = engine;
      this.reset();
      this.set({ kv_backend, kv_backend_reason, kv_cache_dtype, kernel }, 1);
    },
  });

  const firstToken = new Histogram({
    name: 'quire_time_to_first_token_seconds',
    help: 'Time from the arrival of a request to its first text.',
    buckets: FIRST_TOKEN_SECONDS,
    registers,
  });
  const interToken = new Histogram({
    name: 'quire_inter_token_latency_seconds',
    help: 'Time between two pieces of text of one choice, as handed to the client.',
    buckets: INTER_TOKEN_SECONDS,
    registers,
  });
  const wholeRequest = new Histogram({
    name: 'quire_e2e_request_latency_seconds',
    help: 'Time from the arrival of a request to its end.',
    buckets: REQUEST_SECONDS,
    registers,
  });
  const finished = new Counter({
    name: 'quire_request_success_total',
    help: 'Choices that have ended, by finish reason.',
    labelNames: ['finished_reason'],
    registers,
  });

  return {
    contentType: registry.contentType,
    render: () => registry.metrics(),
    startRequest(choices) {
      const arrival = performance.now();
      const lastDelta: number[] = [];
      let anyText = false;
      let unfinished = choices;
      return {
        delta(choice) {
          const now = performance.now();
          const last = lastDelta[choice];
          lastDelta[choice] = now;
          if (last !== undefined) interToken.observe((now - last) / 1000);
          if (anyText) return;
          anyText = true;
          firstToken.observe((now - arrival) / 1000);
        },
        finish(reason) {
          unfinished -= 1;
          finished.inc({ finished_reason: reason });
        },
        end() {
          if (unfinished > 0) finished.inc({ finished_reason: 'abort' }, unfinished);
          wholeRequest.observe((performance.now() - arrival) / 1000);
        },
      };
    },
  };
}
