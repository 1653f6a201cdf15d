import { createRandom } from '../random.js';
import { type Arrivals, type LoadProgress, type RunTrace, runLoad } from './load.js';
import { type RunSummary, summarise } from './summary.js';
import type { Target } from './targets.js';
import { requestsOf, type Workload } from './workloads.js';

/** One run of one workload on one target. */
export interface Measurement {
  workload: string;
  target: string;
  modeOf?: string;
  /** From 0. All targets send the same requests in the same round. */
  round: number;
  summary: RunSummary;
  trace: RunTrace;
}

export interface ComparisonOptions {
  targets: readonly Target[];
  workloads: readonly Workload[];
  repeats: number;
  seed: number;
  /** Requests per second of an open loop; without it every workload runs at its concurrency. */
  rate?: number;
  /** Called before a run; what it returns is told of the run's progress. */
  onRun?: (run: { workload: Workload; target: Target; round: number }) => LoadProgress;
  onMeasured?: (measurement: Measurement) => void;
}

/** Token ids below those of any workload's prompts, so that it leaves no prefix behind that a workload could reuse. */
const WARM_UP = [{ promptTokenIds: Array.from({ length: 16 }, (_, i) => 500 + i), maxTokens: 4 }];

/**
 * Measures every target on every workload, round by round and side by side: a machine that grows slower for a minute
 * slows all of them. Every run has a server of its own, started for it and warmed by one short request, so that nothing
 * is left of the run before.
 */
export async function compare(options: ComparisonOptions): Promise<Measurement[]> {
  const { targets, workloads, repeats, seed, rate, onRun, onMeasured } = options;
  const measurements: Measurement[] = [];
  for (let round = 0; round < repeats; round++) {
    for (const workload of workloads) {
      for (const target of round === 0 ? targets : fasterModes(targets, workload, measurements)) {
        const onProgress = onRun?.({ workload, target, round });
        const trace = await measure(target, workload, { seed, round, rate, onProgress });
        const { label, modeOf } = target;
        const summary = summarise(trace);
        const measurement = { workload: workload.id, target: label, modeOf, round, summary, trace };
        measurements.push(measurement);
        onMeasured?.(measurement);
      }
    }
  }
  return measurements;
}

async function measure(
  target: Target,
  workload: Workload,
  options: { seed: number; round: number; rate?: number; onProgress?: LoadProgress },
): Promise<RunTrace> {
  const { seed, round, rate, onProgress } = options;
  const requests = requestsOf(workload, seed, round);
  const arrivals: Arrivals =
    rate === undefined
      ? { kind: 'closed', concurrency: workload.concurrency }
      : { kind: 'open', requestsPerSecond: rate, random: createRandom(`${seed}/arrivals/${round}`) };
  const server = await target.start(workload);
  try {
    const warmUp = await runLoad(server.endpoint, WARM_UP, { kind: 'closed', concurrency: 1 });
    if (warmUp.failures.length > 0) throw new Error(`${target.label} cannot be measured: ${warmUp.failures[0]}`);
    return await runLoad(server.endpoint, requests, arrivals, onProgress);
  } finally {
    await server.stop();
  }
}

/**
 * Of targets that are modes of one server, the one with the highest throughput in the workload's first round; every
 * other target as it is.
 */
export function fasterModes(
  targets: readonly Target[],
  workload: Workload,
  measurements: readonly Measurement[],
): Target[] {
  const throughput = (target: Target): number => {
    const first = measurements.find((m) => m.round === 0 && m.workload === workload.id && m.target === target.label);
    return first?.summary.outputTokensPerSecond || 0;
  };
  return targets.filter((target) => {
    const modes = targets.filter((other) => other.modeOf !== undefined && other.modeOf === target.modeOf);
    const fastest = modes.toSorted((a, b) => throughput(b) - throughput(a))[0];
    return fastest === undefined || fastest === target;
  });
}
