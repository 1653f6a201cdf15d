import { formatNumber } from '../report/format.js';
import { type Machine, machineLine } from '../report/machine.js';
import { markdownTable, type Table } from '../report/rows.js';
import { GROUPS, HEAD_SIZES, MEASURED_TYPES, WORKLOADS } from './cases.js';
import { attentionPeak, type KernelResult, type Peaks, roofOver } from './measure.js';

/** Everything that one run found out; `--json` writes it as it is. */
export interface KernelReport {
  /** ISO 8601. */
  date: string;
  command: string;
  machine: Machine;
  /** By thread count, ascending. */
  peaks: Peaks[];
  /** All workloads on one shape. */
  cases: KernelResult[];
  /** Two workloads on many shapes. */
  shapes: KernelResult[];
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;

export function peakTable({ peaks }: KernelReport): Table {
  const columns = [
    ['f32 GMAC/s', 'f32_gmacs'],
    ['BF16 GMAC/s', 'bf16_gmacs'],
    ['int16 GMAC/s', 'int16_gmacs'],
    ['int8 GMAC/s', 'int8_gmacs'],
    ['memory GB/s', 'read_gbs'],
    ['L2 GB/s', 'l2_read_gbs'],
  ] as const;
  return {
    header: ['threads', ...columns.map(([title]) => title)],
    rows: peaks.map((peak) => [
      String(peak.threads),
      ...columns.map(([, key]) => formatNumber(peak[key] ?? Number.NaN)),
    ]),
  };
}

/** The fastest level with all threads, against the machine's peaks. */
export function workloadTable(report: KernelReport): Table {
  const peaks = report.peaks.at(-1)!;
  return {
    header: ['workload', 'pages', 'µs', 'GFLOP/s', 'of arithmetic’s peak', 'GB/s', 'of memory peak', 'of its roof'],
    rows: fastest(report).map((result) => [
      result.workload.name,
      result.pageType,
      formatNumber(result.seconds * 1e6),
      formatNumber(result.gflops),
      percent(result.gflops / 2 / attentionPeak(result.pageType, peaks)),
      formatNumber(result.gbs),
      percent(result.gbs / peaks.read_gbs),
      percent(result.gflops / roofOver(result, peaks)),
    ]),
  };
}

/** The results of the first level with the most threads. */
export function fastest({ cases, peaks }: KernelReport): KernelResult[] {
  return cases.filter(({ level, threads }) => level === cases[0]!.level && threads === peaks.at(-1)!.threads);
}

/** GFLOP/s of every level, page type and thread count. */
export function levelTable({ cases, peaks }: KernelReport): Table {
  const levels = [...new Set(cases.map(({ level }) => level))];
  const columns = levels.flatMap((level) => peaks.map(({ threads }) => ({ level, threads })));
  const of = (threads: number) => (threads === 1 ? '1 thread' : `${threads} threads`);
  return {
    header: ['workload', 'pages', ...columns.map(({ level, threads }) => `${level}, ${of(threads)}`)],
    rows: WORKLOADS.flatMap(({ name }) =>
      MEASURED_TYPES.map((pageType) => [
        name,
        pageType,
        ...columns.map(({ level, threads }) => {
          const result = cases.find(
            (one) =>
              one.workload.name === name && one.pageType === pageType && one.level === level && one.threads === threads,
          );
          return formatNumber(result?.gflops ?? Number.NaN);
        }),
      ]),
    ),
  };
}

/** GFLOP/s by group and head size, each with its share of the roof. */
export function shapeTable({ shapes, peaks }: KernelReport): Table {
  const workloads = [...new Set(shapes.map(({ workload }) => workload.name))];
  return {
    header: ['workload', 'query heads per KV head', ...HEAD_SIZES.map((headSize) => `head size ${headSize}`)],
    rows: workloads.flatMap((name) =>
      GROUPS.map((group) => [
        name,
        String(group),
        ...HEAD_SIZES.map((headSize) => {
          const result = shapes.find(
            (one) => one.workload.name === name && one.group === group && one.headSize === headSize,
          )!;
          return `${formatNumber(result.gflops)} (${percent(result.gflops / roofOver(result, peaks.at(-1)!))})`;
        }),
      ]),
    ),
  };
}

const BEGIN = '<!-- generated: results -->';
const END = '<!-- /generated -->';

/**
 * `document` with the tables of this report between its markers.
 * @throws Error when the document lacks the markers.
 */
export function replaceResults(document: string, report: KernelReport): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END, begin);
  if (begin < 0 || end < 0) throw new Error(`the document has no part between "${BEGIN}" and "${END}"`);
  const parts = [
    `${report.date.slice(0, 10)}, ${machineLine(report.machine)}. \`${report.command}\``,
    '### Peaks of the machine',
    markdownTable(peakTable(report)),
    `### Workloads, ${report.cases[0]!.level}, all threads`,
    markdownTable(workloadTable(report)),
    '### GFLOP/s by instruction set',
    markdownTable(levelTable(report)),
    `### GFLOP/s by shape, ${report.cases[0]!.level}, all threads, I16 pages`,
    markdownTable(shapeTable(report)),
  ];
  return `${document.slice(0, begin)}${BEGIN}\n\n${parts.join('\n\n')}\n\n${document.slice(end)}`;
}
