import type { Metric } from '../server/summary.js';
import { formatSpread } from './format.js';
import { contenders, metricOf, type Report, ratioOf, roundsOf } from './report.js';

/** A table as text: one header, and as many cells in every row. */
export interface Table {
  header: string[];
  rows: string[][];
}

const COLUMNS: readonly (readonly [title: string, metric: Metric])[] = [
  ['output tok/s', 'outputTokensPerSecond'],
  ['requests/s', 'requestsPerSecond'],
  ['TTFT p50 ms', 'ttftP50Ms'],
  ['TTFT p99 ms', 'ttftP99Ms'],
  ['ITL p50 ms', 'itlP50Ms'],
  ['ITL p99 ms', 'itlP99Ms'],
];

/** What a workload did, e.g. `W1, many users: … (64 requests, 32 at once)`. */
export function describeWorkload({ rate }: Report, workload: Report['workloads'][number]): string {
  const { id, title, requests, concurrency } = workload;
  const arrivals = rate === undefined ? `${concurrency} at once` : `${rate} a second`;
  return `${id}, ${title} (${requests} request${requests === 1 ? '' : 's'}, ${arrivals})`;
}

/** One row per workload and target: median (min–max) over the rounds of every figure. */
export function resultTable(report: Report): Table {
  return {
    header: ['workload', 'server', 'runs', ...COLUMNS.map(([title]) => title), 'prompt cached'],
    rows: report.workloads.flatMap(({ id }) =>
      report.targets.map(({ label }) => [
        id,
        label,
        String(roundsOf(report, id, label).length),
        ...COLUMNS.map(([, metric]) => formatSpread(metricOf(report, id, label, metric))),
        cachedShare(report, id, label),
      ]),
    ),
  };
}

/** The part of all prompt tokens that the server took from its cache. */
function cachedShare(report: Report, workload: string, target: string): string {
  const share =
    metricOf(report, workload, target, 'cachedTokens').median /
    metricOf(report, workload, target, 'promptTokens').median;
  return Number.isFinite(share) ? `${Math.round(share * 100)} %` : '–';
}

const RATIO_COLUMNS: readonly (readonly [title: string, metric: Metric])[] = [
  ['output tok/s (more is better)', 'outputTokensPerSecond'],
  ['TTFT p50 (less is better)', 'ttftP50Ms'],
  ['ITL p99 (less is better)', 'itlP99Ms'],
];

/** One row per workload and rival: the first target's figures divided by those of the rival in the same round. */
export function ratioTable(report: Report): Table {
  const rows = report.workloads.flatMap(({ id }) => {
    const [subject, ...rivals] = contenders(report, id);
    return rivals.map((rival) => [
      id,
      `${subject} ÷ ${rival}`,
      ...RATIO_COLUMNS.map(([, metric]) => formatSpread(ratioOf(report, id, subject!, rival, metric))),
    ]);
  });
  return { header: ['workload', 'ratio', ...RATIO_COLUMNS.map(([title]) => title)], rows };
}

/** For a terminal: columns padded to their widest cell, numbers flush right. */
export function textTable({ header, rows }: Table): string {
  const widths = header.map((title, i) =>
    Math.max(...[title, ...rows.map((row) => row[i]!)].map((cell) => cell.length)),
  );
  const line = (cells: string[]) =>
    cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  ');
  return [line(header), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}

export function markdownTable({ header, rows }: Table): string {
  const line = (cells: string[]) => `| ${cells.join(' | ')} |`;
  return [line(header), line(header.map((_, i) => (i < 2 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}
