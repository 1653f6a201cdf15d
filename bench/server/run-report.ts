import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createProgressBar } from '../../src/cli/progress.js';
import { formatNumber } from '../report/format.js';
import { htmlReport } from '../report/html.js';
import { machineLine } from '../report/machine.js';
import { createReport, type Report } from '../report/report.js';
import { describeWorkload, ratioTable, resultTable, textTable } from '../report/rows.js';
import { type ComparisonOptions, compare } from './comparison.js';
import type { LoadProgress } from './load.js';

/** Where to leave the results besides the terminal. */
export interface ReportFiles {
  json?: string;
  html?: string;
}

/**
 * Runs a comparison with its progress shown, prints its tables and writes its files. Requests that failed are listed
 * and make the process exit with 1: figures with holes in them must not pass for figures.
 */
export async function runAndReport(
  options: Omit<ComparisonOptions, 'onRun' | 'onMeasured'> & { command: string; model: string } & ReportFiles,
): Promise<Report> {
  const bar = createProgressBar();
  const measurements = await compare({
    ...options,
    onRun({ workload, target, round }) {
      const label = `round ${round + 1} of ${options.repeats}, ${workload.id} on ${target.label}`;
      const show: LoadProgress = (done, total) => bar.update({ label, done: done / total, total: 1, unit: 'fraction' });
      show(0, 1);
      return show;
    },
    onMeasured({ summary }) {
      bar.end();
      const speed = `${formatNumber(summary.outputTokensPerSecond)} output tok/s`;
      console.error(`  ${speed} in ${formatNumber(summary.durationMs / 1_000)} s`);
    },
  });

  const report = createReport({ ...options, measurements });
  printTables(report);
  for (const { workload, target, trace } of measurements) {
    for (const failure of trace.failures) console.error(`✗ ${workload} on ${target}: ${failure}`);
    if (trace.failures.length > 0) process.exitCode = 1;
  }
  if (options.json) await save(options.json, `${JSON.stringify(report)}\n`);
  if (options.html) await save(options.html, htmlReport(report));
  return report;
}

function printTables(report: Report): void {
  console.log(`\n${report.model} on ${machineLine(report.machine)}\n`);
  for (const workload of report.workloads) console.log(describeWorkload(report, workload));
  console.log(`\n${textTable(resultTable(report))}`);
  const ratios = ratioTable(report);
  if (ratios.rows.length > 0) console.log(`\n${textTable(ratios)}`);
}

async function save(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  console.error(`wrote ${path}`);
}
