import type { Measurement } from '../server/comparison.js';
import type { Metric } from '../server/summary.js';
import type { Target } from '../server/targets.js';
import type { Workload } from '../server/workloads.js';
import { type Spread, spread } from '../statistics.js';
import { type Machine, thisMachine } from './machine.js';

/** Everything that one benchmark found out. `--json` writes it as it is; tables and plots are made from it alone. */
export interface Report {
  /** ISO 8601. */
  date: string;
  command: string;
  machine: Machine;
  model: string;
  /** In the order in which they were measured. */
  targets: { label: string; modeOf?: string }[];
  workloads: Omit<Workload, 'generate'>[];
  /** Requests per second of an open loop; absent: every workload ran at its concurrency. */
  rate?: number;
  measurements: Measurement[];
}

export function createReport(options: {
  command: string;
  model: string;
  targets: readonly Target[];
  workloads: readonly Workload[];
  rate?: number;
  measurements: Measurement[];
}): Report {
  const { command, model, targets, workloads, rate, measurements } = options;
  return {
    date: new Date().toISOString(),
    command,
    machine: thisMachine(),
    model,
    targets: targets.map(({ label, modeOf }) => ({ label, modeOf })),
    workloads: workloads.map(({ generate: _, ...described }) => described),
    rate,
    measurements,
  };
}

/** All rounds of one target on one workload, in order. */
export function roundsOf(report: Report, workload: string, target: string): Measurement[] {
  return report.measurements.filter((m) => m.workload === workload && m.target === target);
}

/** A figure over all rounds of one target on one workload. */
export function metricOf(report: Report, workload: string, target: string, metric: Metric): Spread {
  return spread(roundsOf(report, workload, target).map((m) => m.summary[metric]));
}

/** The targets that stand for their server on this workload: of several modes only the one that every round ran. */
export function contenders(report: Report, workload: string): string[] {
  const rounds = (target: string) => roundsOf(report, workload, target).length;
  const throughput = (target: string) => metricOf(report, workload, target, 'outputTokensPerSecond').median;
  return report.targets
    .filter(({ label, modeOf }) => {
      const rivals = report.targets.filter((other) => modeOf !== undefined && other.modeOf === modeOf);
      const best = rivals.toSorted(
        (a, b) => rounds(b.label) - rounds(a.label) || throughput(b.label) - throughput(a.label),
      )[0];
      return best === undefined || best.label === label;
    })
    .map(({ label }) => label);
}

/** `target`'s figure divided by `rival`'s of the same round, over all rounds that both ran. */
export function ratioOf(report: Report, workload: string, target: string, rival: string, metric: Metric): Spread {
  const rivals = new Map(roundsOf(report, workload, rival).map((m) => [m.round, m.summary[metric]]));
  return spread(
    roundsOf(report, workload, target).flatMap((m) => {
      const other = rivals.get(m.round);
      return other === undefined ? [] : [m.summary[metric] / other];
    }),
  );
}
