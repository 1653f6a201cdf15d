/** `npm run bench:kernel`: how close the attention kernel comes to what the machine can do. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { type KernelCase, shapeCases, workloadCases } from './kernel/cases.js';
import { bestPeaks, type CaseTime, type KernelBench, type Peaks, resultOf, withKernelBench } from './kernel/measure.js';
import {
  fastest,
  type KernelReport,
  levelTable,
  peakTable,
  replaceResults,
  shapeTable,
  workloadTable,
} from './kernel/report.js';
import { rooflineSvg } from './kernel/roofline.js';
import { commandLine, positiveInteger } from './options.js';
import { machineLine, thisMachine } from './report/machine.js';
import { textTable } from './report/rows.js';
import { runProgram } from './run-program.js';

interface Flags {
  threads: number;
  repeat: number;
  json?: string;
  document: boolean;
}

const DOCUMENT = fileURLToPath(new URL('../docs/kernel.md', import.meta.url));
const PICTURE = fileURLToPath(new URL('../docs/images/roofline.svg', import.meta.url));

const program = new Command('npm run bench:kernel --')
  .description("Measures attention over pages, and the machine's own peaks beside it, with one thread and with all.")
  .option('--threads <n>', 'what all threads are', positiveInteger, availableParallelism())
  .option('--repeat <n>', 'rounds over all cases; tables show medians', positiveInteger, 3)
  .option('--json <file>', 'write all figures to this file')
  .option('--no-document', 'leave docs/kernel.md and its picture as they are');

async function main({ threads, repeat, json, document }: Flags): Promise<void> {
  const report = await withKernelBench((bench) => measure(bench, [...new Set([1, threads])], repeat));
  console.log(`\n${machineLine(report.machine)}`);
  for (const table of [peakTable, workloadTable, levelTable, shapeTable]) console.log(`\n${textTable(table(report))}`);
  if (json !== undefined) await write(json, `${JSON.stringify(report)}\n`);
  if (document) {
    await write(DOCUMENT, replaceResults(await readFile(DOCUMENT, 'utf8'), report));
    await write(PICTURE, rooflineSvg(fastest(report), report.peaks.at(-1)!));
  }
}

/** All cases in rounds, so that a slow minute of the machine slows one round of each and not all of one. */
async function measure(bench: KernelBench, threadCounts: number[], repeat: number): Promise<KernelReport> {
  const workloads = workloadCases(bench.levels, threadCounts);
  const shapes = shapeCases(bench.levels[0]!, threadCounts.at(-1)!);
  const rounds = Array.from({ length: repeat }, (_, i) => i + 1);
  const peaks = new Map(threadCounts.map((threads): [number, Peaks[]] => [threads, []]));
  const times = new Map([...workloads, ...shapes].map((test): [KernelCase, CaseTime[]] => [test, []]));
  for (const round of rounds) {
    for (const [threads, measured] of peaks) measured.push(await bench.peaks(threads));
    let done = 0;
    for (const [test, measured] of times) {
      console.error(`round ${round} of ${repeat}, case ${++done} of ${times.size}`);
      measured.push(await bench.attend(test));
    }
  }
  const resultsOf = (tests: KernelCase[]) => tests.map((test) => resultOf(test, times.get(test)!));
  return {
    date: new Date().toISOString(),
    command: commandLine('npm run bench:kernel', process.argv.slice(2)),
    machine: thisMachine(),
    peaks: [...peaks.values()].map(bestPeaks),
    cases: resultsOf(workloads),
    shapes: resultsOf(shapes),
  };
}

async function write(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

await runProgram(program, main);
