/** `npm run bench:peer`: Quire and llama.cpp's server side by side on the same file, machine and requests. */
import { readFile, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Command, Option } from 'commander';
import { llamaServer } from './llama-cpp.js';
import { benchModel } from './model.js';
import { commandLine, positiveInteger, sized, workloadList } from './options.js';
import { replaceSection } from './report/markdown.js';
import { runProgram } from './run-program.js';
import { runAndReport } from './server/run-report.js';
import { llamaServerTargets, quireTarget } from './server/targets.js';
import { FORMS, WORKLOADS, type Workload } from './server/workloads.js';
import { withProgress } from './step-progress.js';

interface Flags {
  model: string;
  peerOriginal?: boolean;
  llamaServer?: string;
  threads: number;
  workloads: Workload[];
  repeat: number;
  seed: number;
  quick?: boolean;
  json?: string;
  html?: string;
}

const DOCUMENT = new URL('../docs/benchmarks.md', import.meta.url);

const program = new Command('npm run bench:peer --')
  .description('Measures Quire against llama-server of the same llama.cpp release and writes docs/benchmarks.md.')
  .option('--model <model>', 'random-135m, random-0.5b, or whatever `quire serve` takes', 'random-135m')
  .option('--peer-original', 'llama-server gets the file as published, even where Quire re-encodes it')
  .addOption(new Option('--llama-server <path>', 'use this llama-server instead of building one').env('LLAMA_SERVER'))
  .option('--threads <n>', 'CPU threads of both servers', positiveInteger, availableParallelism())
  .addOption(
    new Option('--workloads <list>', 'workloads to run, e.g. W1,W4').argParser(workloadList).default(WORKLOADS, 'all'),
  )
  .option('--repeat <n>', 'rounds; tables show median and range', positiveInteger, 3)
  .option('--seed <n>', 'seed of the prompts', positiveInteger, 1)
  .option('--quick', 'a quarter of the requests, one round, docs/benchmarks.md left alone: a few minutes')
  .option('--json <file>', 'write every measured figure to this file')
  .option('--html <file>', 'write one self-contained page with plots to this file');

async function main(flags: Flags): Promise<void> {
  const { threads } = flags;
  const model = await withProgress((onProgress) => benchModel(flags.model, onProgress));
  const binary = await withProgress((onProgress) => llamaServer(flags.llamaServer, onProgress));
  const peerModel = flags.peerOriginal ? model.originalPath : model.path;
  const name = [
    model.name,
    ...(flags.peerOriginal ? ['llama-server on the published file'] : []),
    ...part(flags.workloads),
  ].join(', ');
  const report = await runAndReport({
    ...flags,
    command: commandLine('npm run bench:peer', process.argv.slice(2)),
    model: name,
    targets: [
      quireTarget({ model: model.path, threads, policy: 'continuous', label: 'Quire' }),
      ...llamaServerTargets({ binary, model: peerModel, threads }),
    ],
    workloads: sized(flags.workloads, flags),
    repeats: flags.quick ? 1 : flags.repeat,
  });
  if (flags.quick || process.exitCode === 1) return;
  await writeFile(DOCUMENT, replaceSection(await readFile(DOCUMENT, 'utf8'), report));
  console.error('wrote docs/benchmarks.md');
}

/** What a name says of a run of some of the workloads, whose section others of the same model are to stand beside. */
function part(workloads: readonly Workload[]): string[] {
  if (workloads.every((workload) => FORMS.includes(workload))) return ['answers with a form'];
  if (WORKLOADS.every((workload) => workloads.includes(workload))) return [];
  return [workloads.map(({ id }) => id).join(' and ')];
}

await runProgram(program, main);
