/** `npm run bench:quality`: how far pages and stock are from the model computed in double precision. */
import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError } from 'commander';
import { openRig } from './engine/rig.js';
import { benchModel } from './model.js';
import { commandLine, positiveInteger } from './options.js';
import { publish } from './publish.js';
import { measureQuality, type QualityReport } from './quality/measure.js';
import { PROSE_SOURCE, readProse } from './quality/prose.js';
import { openReference } from './quality/reference.js';
import { formatNumber } from './report/format.js';
import type { Table } from './report/rows.js';
import { runProgram } from './run-program.js';
import { withProgress } from './step-progress.js';

const DEFAULT_TOKENS = 10_240;
const WINDOW = 2_048;
const DEFAULT_CUTS = [512, 32, 1];

interface Flags {
  model: string;
  threads: number;
  tokens: number;
  cuts: readonly number[];
  document: boolean;
}

const program = new Command('npm run bench:quality --')
  .description('Compares pages and stock with a double-precision reference on real text and writes docs/benchmarks.md.')
  .option('--model <model>', 'a model of llama’s architecture: whatever `quire serve` takes', 'default')
  .option('--threads <n>', 'CPU threads', positiveInteger, availableParallelism())
  .option('--tokens <n>', 'length of the text', positiveInteger, DEFAULT_TOKENS)
  .option('--cuts <list>', 'rows of a step, e.g. 512,32,1', cutList, DEFAULT_CUTS)
  .option('--no-document', 'leave docs/benchmarks.md as it is');

function cutList(text: string): number[] {
  const cuts = text.split(',').map(positiveInteger);
  if (cuts.some((cut) => cut > 512)) throw new InvalidArgumentError('Steps have at most 512 rows here.');
  return cuts;
}

async function main(flags: Flags): Promise<void> {
  const { threads, cuts, document } = flags;
  const model = await withProgress((onProgress) => benchModel(flags.model, onProgress));
  const rig = await openRig(model.path, threads);
  const reference = await openReference(model.path, threads);
  try {
    const text = rig.model.vocab.tokenize(await readProse(), { addSpecial: false, parseSpecial: false });
    const tokens = text.subarray(0, flags.tokens);
    const ways = cuts.flatMap((cut) => [
      { keysAndValues: 'pages' as const, cut },
      { keysAndValues: 'stock' as const, cut },
    ]);
    const report = await withProgress((onProgress) =>
      measureQuality({ rig, reference, tokens, window: WINDOW, ways, onProgress }),
    );
    const finding = {
      part: 'quality',
      subject: model.name,
      command: commandLine(
        'npm run bench:quality',
        process.argv.slice(2).filter((arg) => arg !== '--no-document'),
      ),
      threads,
      figures: report,
      tables: [qualityTable(report), differenceTable(report)],
      pictures: [],
      notes: [`${grouped(report.tokens)} tokens in windows of ${grouped(WINDOW)}: ${PROSE_SOURCE}.`],
    };
    await publish(finding, { document });
  } finally {
    reference.dispose();
    rig.dispose();
  }
}

const grouped = (count: number) => count.toLocaleString('en-US');

function qualityTable({ ways, referencePerplexity }: QualityReport): Table {
  const nats = (value: number) => value.toExponential(2);
  return {
    header: ['keys and values', 'rows of a step', 'KL mean', 'KL p99', 'KL max', 'same arg-max', 'perplexity'],
    rows: [
      ...ways.map(({ keysAndValues, cut, klMean, klP99, klMax, sameArgMax, perplexity }) => [
        keysAndValues,
        String(cut),
        nats(klMean),
        nats(klP99),
        nats(klMax),
        `${formatNumber(sameArgMax * 100)} %`,
        perplexity.toFixed(3),
      ]),
      ['double precision', '–', '0', '0', '0', '100 %', referencePerplexity.toFixed(3)],
    ],
  };
}

function differenceTable({ differences }: QualityReport): Table {
  const nats = (value: number) => `${value > 0 ? '+' : ''}${value.toExponential(1)}`;
  return {
    header: ['rows of a step', 'KL of pages − KL of stock, token by token', 'standard error', 'in standard errors'],
    rows: differences.map(({ cut, kl: { mean, standardError } }) => [
      String(cut),
      nats(mean),
      standardError.toExponential(1),
      (mean / standardError).toFixed(1),
    ]),
  };
}

await runProgram(program, main);
