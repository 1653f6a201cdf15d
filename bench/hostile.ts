/** `npm run bench:hostile`: a server that gets nothing but nonsense, and what becomes of it. */
import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { randomModelPath } from '../test/support/random-model.js';
import { runHostile } from './chaos/hostile.js';
import { benchModel } from './model.js';
import { positiveInteger } from './options.js';
import { runProgram } from './run-program.js';
import { withProgress } from './step-progress.js';

interface Flags {
  model: string;
  inputs: number;
  clients: number;
  seed: number;
  json?: string;
}

/** What fragmentation and caches that fill come to is below this in the last half of a run, in MiB for 10,000 inputs. */
const MOST_GROWTH = 50;

const program = new Command('npm run bench:hostile --')
  .description('Sends a server broken HTTP, broken JSON, odd Unicode and hard schemas, and checks that it minds none.')
  .option('--model <model>', 'tiny (512 tokens, random weights), or whatever `quire serve` takes', 'tiny')
  .option('--inputs <n>', 'how many', positiveInteger, 100_000)
  .option('--clients <n>', 'how many at a time', positiveInteger, 16)
  .option('--seed <n>', 'seed of the inputs', positiveInteger, 1)
  .option('--json <file>', 'write the whole report to this file');

async function main({ json, ...flags }: Flags): Promise<void> {
  const model =
    flags.model === 'tiny'
      ? { name: 'a tiny random model', path: await randomModelPath() }
      : await withProgress((onProgress) => benchModel(flags.model, onProgress));
  const onProgress = (what: string): void => console.error(what);
  console.error(`seed ${flags.seed}: --seed ${flags.seed} sends the same again`);
  const report = await runHostile({ ...flags, model: model.path, onProgress });
  if (json !== undefined) await writeFile(json, JSON.stringify(report, undefined, 2));
  const { inputs, seconds, statuses, faults, good, different, residentMiB, slopes, restarts, leaked } = report;
  const memory = (name: 'gateway' | 'engine') =>
    `${name}: ${residentMiB[name].at(0)?.toFixed(0)} → ${residentMiB[name].at(-1)?.toFixed(0)} MiB resident, ` +
    `${slopes[name].toFixed(1)} MiB for 10,000 inputs in the last half`;
  console.log(
    [
      `${model.name}, seed ${flags.seed}: ${inputs} inputs in ${seconds.toFixed(0)} s`,
      `answers by status: ${Object.entries(statuses)
        .map(([status, count]) => `${status === '0' ? 'closed' : status} ${count}`)
        .join(', ')}`,
      `faults and hangs: ${faults.length}, engine restarts: ${restarts}`,
      `good requests in between: ${good}, answered differently: ${different.length}`,
      memory('gateway'),
      memory('engine'),
      `left behind: ${leaked.blocks} blocks, ${leaked.requests} requests`,
    ].join('\n'),
  );
  for (const line of [...faults, ...different].slice(0, 10)) console.error(line);
  const bad = faults.length + different.length + restarts + leaked.blocks + leaked.requests;
  if (bad > 0 || slopes.gateway > MOST_GROWTH || slopes.engine > MOST_GROWTH) process.exitCode = 1;
}

await runProgram(program, main);
