/** `npm run bench:engine`: the engine and its parts in this process, against what bounds them. */
import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { breakdownPart } from './engine/breakdown.js';
import { costCurvePart } from './engine/cost-curve.js';
import { grammarPart } from './engine/grammar.js';
import { invariancePart } from './engine/invariance.js';
import { operationsPart } from './engine/operations.js';
import type { Part } from './engine/part.js';
import { servedPart } from './engine/served.js';
import { stockPart } from './engine/stock.js';
import { wastePart } from './engine/waste.js';
import { benchModel } from './model.js';
import { commandLine, positiveInteger } from './options.js';
import { publish } from './publish.js';
import { runProgram } from './run-program.js';
import { withProgress } from './step-progress.js';

const PARTS: readonly Part[] = [
  servedPart,
  stockPart,
  costCurvePart,
  breakdownPart,
  operationsPart,
  invariancePart,
  wastePart,
  grammarPart,
];

const DEFAULT_ROUNDS = 5;

interface Flags {
  model: string;
  threads: number;
  rounds: number;
  only: readonly Part[];
  document: boolean;
}

const program = new Command('npm run bench:engine --')
  .description('Measures the engine in this process and writes docs/benchmarks.md and bench/results/.')
  .option('--model <model>', 'random-135m, random-0.5b, smollm2, or whatever `quire serve` takes', 'random-135m')
  .option('--threads <n>', 'CPU threads', positiveInteger, availableParallelism())
  .option('--rounds <n>', 'interleaved rounds; tables show median and range', positiveInteger, DEFAULT_ROUNDS)
  .addOption(
    new Option('--only <list>', `parts to run, of ${PARTS.map(({ id }) => id).join(',')}`)
      .argParser(partList)
      .default(PARTS, 'all'),
  )
  .option('--no-document', 'leave docs/benchmarks.md and its pictures as they are');

function partList(text: string): Part[] {
  return text.split(',').map((id) => {
    const part = PARTS.find((known) => known.id === id);
    if (!part)
      throw new InvalidArgumentError(`It must be one or several of ${PARTS.map((known) => known.id).join(', ')}.`);
    return part;
  });
}

async function main(flags: Flags): Promise<void> {
  const { threads, rounds, only, document } = flags;
  const model = await withProgress((onProgress) => benchModel(flags.model, onProgress));
  for (const part of only) {
    console.error(`\n${part.title}`);
    const began = performance.now();
    const options = { modelPath: model.path, modelName: model.name, threads, rounds };
    const result = await withProgress((onProgress) => part.run({ ...options, onProgress }));
    const subject = part.usesModel ? model.name : 'Any model';
    const command = commandFor(part, flags);
    await publish({ ...result, part: `engine-${part.id}`, subject, command, threads }, { document });
    console.error(`took ${Math.round((performance.now() - began) / 1_000)} s`);
  }
}

/** How to measure one part again, whatever else was measured with it. */
function commandFor({ id, usesModel }: Part, { model, threads, rounds }: Flags): string {
  const args = ['--only', id];
  if (usesModel) args.push('--model', model);
  if (rounds !== DEFAULT_ROUNDS) args.push('--rounds', String(rounds));
  if (threads !== availableParallelism()) args.push('--threads', String(threads));
  return commandLine('npm run bench:engine', args);
}

await runProgram(program, main);
