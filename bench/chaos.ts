/** `npm run bench:chaos`: a server at full load whose engine is killed again and again, and what that costs. */
import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { runChaos } from './chaos/chaos.js';
import { benchModel } from './model.js';
import { positiveInteger, positiveNumber } from './options.js';
import { runProgram } from './run-program.js';
import { quantiles } from './statistics.js';
import { withProgress } from './step-progress.js';

interface Flags {
  model: string;
  minutes: number;
  killEvery: number;
  users: number;
  seed: number;
  json?: string;
}

const program = new Command('npm run bench:chaos --')
  .description('Kills the engine of a server at full load, and compares every answer with an undisturbed one.')
  .option('--model <model>', 'random-135m, random-0.5b, smollm2, or whatever `quire serve` takes', 'smollm2')
  .option('--minutes <n>', 'how long', positiveNumber, 60)
  .option('--kill-every <seconds>', 'mean time between two kills', positiveNumber, 20)
  .option('--users <n>', 'clients, each of whom asks again once answered', positiveInteger, 24)
  .option('--seed <n>', 'seed of requests and kills', positiveInteger, 1)
  .option('--json <file>', 'write the whole report to this file');

async function main({ killEvery, json, ...flags }: Flags): Promise<void> {
  const model = await withProgress((onProgress) => benchModel(flags.model, onProgress));
  const onProgress = (what: string): void => console.error(what);
  const report = await runChaos({ ...flags, model: model.path, killEverySeconds: killEvery, onProgress });
  if (json !== undefined) await writeFile(json, JSON.stringify(report, undefined, 2));
  const { kills, answers, lost, different, pausesMs, residentBytes, leaked } = report;
  const [p50, p99] = quantiles(pausesMs, [0.5, 0.99]);
  const grown = (residentBytes.after - residentBytes.before) / 2 ** 20;
  console.log(
    [
      `${model.name}, seed ${flags.seed}: ${kills} kills in ${flags.minutes} minutes, ${answers} answers`,
      `lost: ${lost.length}, different from undisturbed ones: ${different.length}`,
      `from a kill to a stream's next text: p50 ${Math.round(p50!)} ms, p99 ${Math.round(p99!)} ms`,
      `gateway: ${grown.toFixed(1)} MiB more resident memory, ${((grown * 60) / flags.minutes).toFixed(1)} MiB an hour`,
      `left behind: ${leaked.blocks} blocks, ${leaked.requests} requests, ${leaked.processes} processes`,
    ].join('\n'),
  );
  for (const line of [...lost, ...different].slice(0, 10)) console.error(line);
  if (lost.length + different.length > 0 || Object.values(leaked).some((count) => count > 0)) process.exitCode = 1;
}

await runProgram(program, main);
