/** `npm run bench:misfortunes`: what befalls servers, and what becomes of their answers: Quire and llama.cpp's server. */
import { readFile, writeFile } from 'node:fs/promises';
import { Command, Option } from 'commander';
import { llamaServerVictim, MISFORTUNES, type Outcome, quireVictim } from './chaos/neighbours.js';
import { llamaServer } from './llama-cpp.js';
import { benchModel } from './model.js';
import { positiveInteger } from './options.js';
import { replaceGenerated } from './report/document.js';
import { machineLine, thisMachine } from './report/machine.js';
import { markdownTable, textTable } from './report/rows.js';
import { versionsLine } from './report/versions.js';
import { runProgram } from './run-program.js';
import { withProgress } from './step-progress.js';

interface Flags {
  llamaServer?: string;
  repeat: number;
}

const DOCUMENT = new URL('../docs/reliability.md', import.meta.url);

/** Of SmolLM2-135M: 30 layers of 3 heads with 64 values each, keys and values, two bytes a value. */
const BYTES_PER_TOKEN = 30 * 3 * 64 * 2 * 2;

const program = new Command('npm run bench:misfortunes --')
  .description('Lets the same things happen to Quire and to llama-server, and writes docs/reliability.md.')
  .addOption(new Option('--llama-server <path>', 'use this llama-server instead of building one').env('LLAMA_SERVER'))
  .option('--repeat <n>', 'times that everything happens; the table adds them up', positiveInteger, 3);

async function main(flags: Flags): Promise<void> {
  const model = await withProgress((onProgress) => benchModel('smollm2', onProgress));
  const binary = await withProgress((onProgress) => llamaServer(flags.llamaServer, onProgress));
  const kinds = [quireVictim(model.path, BYTES_PER_TOKEN), llamaServerVictim(binary, model.path)];
  const rows: string[][] = [];
  for (const { name, run } of MISFORTUNES) {
    const row = [name];
    for (const kind of kinds) {
      const outcomes: Outcome[] = [];
      for (let i = 0; i < flags.repeat; i++) {
        console.error(`${kind.label}: ${name}`);
        outcomes.push(await run(kind));
      }
      row.push(describe(outcomes));
    }
    rows.push(row);
  }
  const table = { header: ['what happens', ...kinds.map(({ label }) => label)], rows };
  const versions = await versionsLine();
  console.log(textTable(table));
  const facts = [new Date().toISOString().slice(0, 10), model.name, machineLine(thisMachine()), versions].join(', ');
  const section = [`${facts}. \`npm run bench:misfortunes -- --repeat ${flags.repeat}\``, markdownTable(table)];
  const document = await readFile(DOCUMENT, 'utf8');
  await writeFile(DOCUMENT, replaceGenerated(document, 'misfortunes', '### Measured here', section.join('\n\n')));
  console.error('wrote docs/reliability.md');
}

/** `24 of 24 whole`, and what became of the others. */
function describe(outcomes: readonly Outcome[]): string {
  const sum = (key: keyof Outcome) => outcomes.reduce((total, outcome) => total + outcome[key], 0);
  const rest = [
    ...(sum('refused') > 0 ? [`${sum('refused')} ended by an error`] : []),
    ...(sum('broken') > 0 ? [`${sum('broken')} broken off`] : []),
  ];
  return [`${sum('whole')} of ${sum('asked')} whole`, ...rest].join(', ');
}

await runProgram(program, main);
