import { quantiles } from '../statistics.js';
import type { RunTrace } from './load.js';

/**
 * The figures of one run. TTFT (time to first token) is from sending the request to its first chunk, ITL (inter-token
 * latency) between one chunk and the next of a request: a server that sends several tokens in one chunk shows fewer and
 * longer gaps. Latencies are milliseconds; NaN where there was nothing to measure.
 */
export interface RunSummary {
  /** From the first request sent to the last answer complete. */
  durationMs: number;
  requests: number;
  failures: number;
  promptTokens: number;
  cachedTokens: number;
  outputTokens: number;
  outputTokensPerSecond: number;
  requestsPerSecond: number;
  ttftP50Ms: number;
  ttftP99Ms: number;
  itlP50Ms: number;
  itlP99Ms: number;
  endToEndP50Ms: number;
  endToEndP99Ms: number;
}

export type Metric = Exclude<keyof RunSummary, 'requests' | 'failures'>;

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Time to first token of every request that got one. */
export function timesToFirstToken(trace: RunTrace): number[] {
  return trace.requests.flatMap(({ startMs, chunkMs }) => (chunkMs[0] === undefined ? [] : [chunkMs[0] - startMs]));
}

/** Every gap between two successive chunks of a request. */
export function interTokenLatencies(trace: RunTrace): number[] {
  return trace.requests.flatMap(({ chunkMs }) => chunkMs.slice(1).map((at, i) => at - chunkMs[i]!));
}

export function summarise(trace: RunTrace): RunSummary {
  const { requests } = trace;
  const total = (field: 'promptTokens' | 'cachedTokens' | 'outputTokens') => sum(requests.map((r) => r[field]));
  const began = Math.min(...requests.map((request) => request.startMs));
  const ended = Math.max(...requests.map((request) => request.endMs));
  const durationMs = requests.length === 0 ? Number.NaN : ended - began;
  const [ttftP50Ms, ttftP99Ms] = quantiles(timesToFirstToken(trace), [0.5, 0.99]) as [number, number];
  const [itlP50Ms, itlP99Ms] = quantiles(interTokenLatencies(trace), [0.5, 0.99]) as [number, number];
  const endToEnd = requests.map((request) => request.endMs - request.startMs);
  const [endToEndP50Ms, endToEndP99Ms] = quantiles(endToEnd, [0.5, 0.99]) as [number, number];
  return {
    durationMs,
    requests: requests.length,
    failures: trace.failures.length,
    promptTokens: total('promptTokens'),
    cachedTokens: total('cachedTokens'),
    outputTokens: total('outputTokens'),
    outputTokensPerSecond: (total('outputTokens') / durationMs) * 1_000,
    requestsPerSecond: (requests.length / durationMs) * 1_000,
    ttftP50Ms,
    ttftP99Ms,
    itlP50Ms,
    itlP99Ms,
    endToEndP50Ms,
    endToEndP99Ms,
  };
}

/** What a server was doing during one slice of a run. */
export interface TimelineSlice {
  /** Middle of the slice, milliseconds since the run began. */
  atMs: number;
  /** Requests that had their first token and not yet their last, averaged over the slice. */
  generating: number;
  tokensPerSecond: number;
}

/** The run cut into `slices` equal parts. A chunk counts for its request's mean number of tokens per chunk. */
export function timeline(trace: RunTrace, slices: number): TimelineSlice[] {
  const ended = Math.max(0, ...trace.requests.map((request) => request.endMs));
  const width = ended / slices;
  const tokens = new Float64Array(slices);
  const generatingMs = new Float64Array(slices);
  const sliceOf = (atMs: number) => Math.min(slices - 1, Math.floor(atMs / width));
  for (const request of trace.requests) {
    const perChunk = request.outputTokens / request.chunkMs.length;
    for (const at of request.chunkMs) tokens[sliceOf(at)]! += perChunk;
    addOverlap(generatingMs, request.chunkMs[0] ?? request.endMs, request.endMs, width);
  }
  return Array.from({ length: ended > 0 ? slices : 0 }, (_, i) => ({
    atMs: (i + 0.5) * width,
    generating: generatingMs[i]! / width,
    tokensPerSecond: (tokens[i]! / width) * 1_000,
  }));
}

function addOverlap(generatingMs: Float64Array, startMs: number, endMs: number, width: number): void {
  for (let i = Math.floor(startMs / width); i < generatingMs.length && i * width < endMs; i++) {
    generatingMs[i]! += Math.min(endMs, (i + 1) * width) - Math.max(startMs, i * width);
  }
}
