/**
 * `npm run bench:chaos`: a server at full load whose engine is killed again and again, and what that costs; or, with
 * `--scenario`, one with more to do than it can.
 */
import { writeFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { runChaos } from './chaos/chaos.js';
import { runIdle } from './chaos/idle.js';
import { type PhaseReport, runFairness, runOverload } from './chaos/overload.js';
import { benchModel } from './model.js';
import { positiveInteger, positiveNumber } from './options.js';
import { runProgram } from './run-program.js';
import { quantiles } from './statistics.js';
import { withProgress } from './step-progress.js';

interface Flags {
  scenario: 'kills' | 'overload' | 'fairness' | 'idle';
  seconds: number;
  connections: number;
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
  .addOption(
    new Option('--scenario <name>', 'kills; ten times the load; a flooding key beside a quiet one; idle connections')
      .choices(['kills', 'overload', 'fairness', 'idle'])
      .default('kills'),
  )
  .option('--seconds <n>', 'how long each phase of overload and fairness takes', positiveNumber, 30)
  .option('--connections <n>', 'idle connections to open', positiveInteger, 10_000)
  .option('--minutes <n>', 'how long to kill', positiveNumber, 60)
  .option('--kill-every <seconds>', 'mean time between two kills', positiveNumber, 20)
  .option('--users <n>', 'clients, each of whom asks again once answered', positiveInteger, 24)
  .option('--seed <n>', 'seed of requests and kills', positiveInteger, 1)
  .option('--json <file>', 'write the whole report to this file');

async function main(flags: Flags): Promise<void> {
  if (flags.scenario === 'kills') return kills(flags);
  const { scenario, seconds, seed, connections, json } = flags;
  const { path: model } = await withProgress((onProgress) => benchModel(flags.model, onProgress));
  const options = { model, seconds, seed, onProgress: (what: string): void => console.error(what) };
  if (scenario === 'idle') {
    const { outcome, ...report } = await runIdle(model, connections);
    console.log(`beside ${report.connections} idle connections: ${outcome.problem ?? 'answered'}`);
    console.log(`first text after ${Math.round(outcome.ttftMs)} ms`);
    if (outcome.problem !== undefined || outcome.status !== 200) process.exitCode = 1;
    return;
  }
  const phases = await (scenario === 'overload' ? runOverload(options) : runFairness(options));
  if (json !== undefined) await writeFile(json, JSON.stringify(phases, undefined, 2));
  for (const [name, phase] of Object.entries(phases)) showPhase(name, phase);
}

function showPhase(name: string, { answered, refused, goodput, p50TtftMs, p99TtftMs, problems }: PhaseReport): void {
  console.log(
    `${name}: ${answered} answered, ${refused} refused, ${goodput.toFixed(1)} tokens/s in whole answers, ` +
      `first text p50 ${Math.round(p50TtftMs)} ms, p99 ${Math.round(p99TtftMs)} ms, ${problems.length} problems`,
  );
  for (const problem of problems.slice(0, 10)) console.error(problem);
  if (problems.length > 0) process.exitCode = 1;
}

async function kills({ killEvery, json, ...flags }: Flags): Promise<void> {
  const model = await withProgress((onProgress) => benchModel(flags.model, onProgress));
  const onProgress = (what: string): void => console.error(what);
  const report = await runChaos({ ...flags, model: model.path, killEverySeconds: killEvery, onProgress });
  if (json !== undefined) await writeFile(json, JSON.stringify(report, undefined, 2));
  const { kills: killed, answers, left, lost, different, pausesMs, residentMiB, leaked } = report;
  const [p50, p99] = quantiles(pausesMs, [0.5, 0.99]);
  console.log(
    [
      `${model.name}, seed ${flags.seed}: ${killed} kills in ${flags.minutes} minutes, ${answers} answers, ${left} clients left`,
      `lost: ${lost.length}, different from undisturbed ones: ${different.length}`,
      `from a kill to a stream's next text: p50 ${Math.round(p50!)} ms, p99 ${Math.round(p99!)} ms`,
      `gateway: ${residentMiB.before.toFixed(0)} → ${residentMiB.after.toFixed(0)} MiB resident, ` +
        `${residentMiB.slopePerHour.toFixed(1)} MiB an hour in the last half`,
      `left behind: ${leaked.blocks} blocks, ${leaked.requests} requests, ${leaked.processes} processes, ${leaked.files} files`,
    ].join('\n'),
  );
  for (const line of [...lost, ...different].slice(0, 10)) console.error(line);
  if (lost.length + different.length > 0 || Object.values(leaked).some((count) => count > 0)) process.exitCode = 1;
}

await runProgram(program, main);
