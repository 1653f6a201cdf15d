/** `npm run bench`: throughput and latency of Quire, or of any server that speaks the OpenAI completions API. */
import { availableParallelism } from 'node:os';
import { Command, Option } from 'commander';
import { llamaServer } from './llama-cpp.js';
import { benchModel } from './model.js';
import { commandLine, policyList, positiveInteger, positiveNumber, sized, workloadList } from './options.js';
import { runProgram } from './run-program.js';
import { firstModel } from './server/completion-client.js';
import { runAndReport } from './server/run-report.js';
import { llamaServerTargets, type Policy, quireTarget, type Target, urlTarget } from './server/targets.js';
import { WORKLOADS, type Workload } from './server/workloads.js';
import { withProgress } from './step-progress.js';

interface Flags {
  url?: string;
  servedModelName?: string;
  apiKey?: string;
  textPrompts?: boolean;
  model: string;
  threads: number;
  policy: Policy[];
  peer?: 'llama-server';
  llamaServer?: string;
  workloads: Workload[];
  requests?: number;
  concurrency?: number;
  rate?: number;
  repeat: number;
  seed: number;
  quick?: boolean;
  json?: string;
  html?: string;
}

const program = new Command('npm run bench --')
  .description('Measures throughput and latency of Quire, or of any OpenAI-compatible server.')
  .option('--url <url>', 'measure the server at this address instead of starting Quire')
  .option('--served-model-name <name>', 'model to ask that server for (default: the first one it lists)')
  .option('--api-key <key>', 'key that the server asks for')
  .option('--text-prompts', 'send words instead of token ids, for servers that take text only; lengths are then close')
  .option('--model <model>', 'model to serve: whatever `quire serve` takes, random-135m or random-0.5b', 'default')
  .option('--threads <n>', 'CPU threads of the servers', positiveInteger, availableParallelism())
  .option('--policy <list>', 'batching policies to compare: continuous,dynamic,static', policyList, ['continuous'])
  .addOption(new Option('--peer <name>', 'measure another server as well, side by side').choices(['llama-server']))
  .addOption(new Option('--llama-server <path>', 'use this llama-server instead of building one').env('LLAMA_SERVER'))
  .addOption(
    new Option('--workloads <list>', 'workloads to run, e.g. W1,W4').argParser(workloadList).default(WORKLOADS, 'all'),
  )
  .option('--requests <n>', 'requests per run instead of the workload’s own number', positiveInteger)
  .option('--concurrency <n>', 'requests at once instead of the workload’s own number', positiveInteger)
  .option('--rate <r>', 'open loop: requests arrive at random, this many a second, without waiting', positiveNumber)
  .option('--repeat <n>', 'rounds; tables show median and range', positiveInteger, 1)
  .option('--seed <n>', 'seed of prompts and arrivals', positiveInteger, 1)
  .option('--quick', 'a quarter of the requests')
  .option('--json <file>', 'write every measured figure to this file')
  .option('--html <file>', 'write one self-contained page with plots to this file')
  .addHelpText(
    'after',
    `
Examples:
  npm run bench -- --quick
  npm run bench -- --workloads W1 --policy continuous,dynamic,static --html bench/results/policies.html
  npm run bench -- --url http://localhost:8000 --workloads W1 --rate 2`,
  );

async function main(flags: Flags): Promise<void> {
  const { targets, model } = flags.url ? await externalTarget(flags.url, flags) : await startedTargets(flags);
  await runAndReport({
    ...flags,
    command: commandLine('npm run bench', process.argv.slice(2)),
    model,
    targets,
    workloads: sized(flags.workloads, flags),
    repeats: flags.repeat,
  });
}

async function externalTarget(url: string, flags: Flags): Promise<{ targets: Target[]; model: string }> {
  const model = flags.servedModelName ?? (await firstModel(url, flags.apiKey));
  const prompts = flags.textPrompts ? 'text' : 'tokens';
  return { targets: [urlTarget({ url, model, apiKey: flags.apiKey, prompts })], model };
}

async function startedTargets(flags: Flags): Promise<{ targets: Target[]; model: string }> {
  const { threads, policy: policies } = flags;
  const model = await withProgress((onProgress) => benchModel(flags.model, onProgress));
  const targets: Target[] = policies.map((policy) =>
    quireTarget({ model: model.path, threads, policy, label: policies.length > 1 ? `Quire, ${policy}` : 'Quire' }),
  );
  if (flags.peer) {
    const binary = await withProgress((onProgress) => llamaServer(flags.llamaServer, onProgress));
    targets.push(...llamaServerTargets({ binary, model: model.path, threads }));
  }
  return { targets, model: model.name };
}

await runProgram(program, main);
