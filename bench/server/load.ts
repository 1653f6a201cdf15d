import type { Random } from '../random.js';
import { complete, type Endpoint, type RequestTrace } from './completion-client.js';
import type { BenchRequest } from './workloads.js';

/**
 * How requests arrive. `closed`: a fixed number of users, each of whom asks again once answered. `open`: a Poisson
 * process of `rate` requests per second that does not wait for answers, as traffic from outside does not.
 */
export type Arrivals =
  | { kind: 'closed'; concurrency: number }
  | { kind: 'open'; requestsPerSecond: number; random: Random };

/** One run of a workload. Times are milliseconds since it began. */
export interface RunTrace {
  requests: RequestTrace[];
  /** What went wrong, one line per failed request. */
  failures: string[];
}

/** Called after every finished request. */
export type LoadProgress = (finished: number, total: number) => void;

/** Sends all requests to the endpoint and waits for the last answer. A failed request is recorded, the rest go on. */
export async function runLoad(
  endpoint: Endpoint,
  requests: readonly BenchRequest[],
  arrivals: Arrivals,
  onProgress: LoadProgress = () => {},
): Promise<RunTrace> {
  const beganAt = performance.now();
  const now = () => performance.now() - beganAt;
  const trace: RunTrace = { requests: [], failures: [] };

  const send = async (request: BenchRequest): Promise<void> => {
    try {
      trace.requests.push(await complete(endpoint, request, now));
    } catch (error) {
      trace.failures.push(error instanceof Error ? error.message : String(error));
    }
    onProgress(trace.requests.length + trace.failures.length, requests.length);
  };

  switch (arrivals.kind) {
    case 'closed': {
      const queue = requests.values();
      const user = async (): Promise<void> => {
        for (const request of queue) await send(request);
      };
      await Promise.all(Array.from({ length: arrivals.concurrency }, user));
      return trace;
    }
    case 'open': {
      let dueMs = 0;
      const running: Promise<void>[] = [];
      for (const request of requests) {
        dueMs += arrivals.random.exponential(1_000 / arrivals.requestsPerSecond);
        await until(dueMs, now);
        running.push(send(request));
      }
      await Promise.all(running);
      return trace;
    }
  }
}

function until(dueMs: number, now: () => number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, dueMs - now())));
}
