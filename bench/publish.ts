import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { replaceGenerated } from './report/document.js';
import { machineLine, thisMachine } from './report/machine.js';
import { markdownTable, type Table, textTable } from './report/rows.js';
import { versionsLine } from './report/versions.js';

/** What one measurement found, and how to make it again. */
export interface Finding {
  /** Name of the part of docs/benchmarks.md that it belongs to, and of its files. */
  part: string;
  /** What was measured: a model's name. Each subject has a section of its own in the part. */
  subject: string;
  command: string;
  threads: number;
  /** Everything measured, as plain data. */
  figures: unknown;
  tables: readonly Table[];
  pictures: readonly { id: string; title: string; svg: string }[];
  notes: readonly string[];
}

const ROOT = new URL('../', import.meta.url);
const DOCUMENT = new URL('docs/benchmarks.md', ROOT);
const PICTURES = new URL('docs/images/', ROOT);
const RESULTS = new URL('bench/results/', ROOT);

/**
 * Prints a finding and keeps it: figures in bench/results/, tables and pictures in docs/.
 * @param options.document whether docs/ is written
 */
export async function publish(finding: Finding, options: { document: boolean }): Promise<void> {
  const { part, subject, command, threads, figures, tables, pictures, notes } = finding;
  const machine = thisMachine();
  const versions = await versionsLine();
  const date = new Date().toISOString();
  console.log(`\n${subject} on ${machineLine(machine)}, ${versions}, ${threads} threads\n`);
  for (const table of tables) console.log(`${textTable(table)}\n`);
  for (const note of notes) console.log(note);

  const slug = `${part}-${fileName(subject)}`;
  await mkdir(RESULTS, { recursive: true });
  const json = JSON.stringify({ date, command, machine, versions, threads, subject, figures });
  await writeFile(new URL(`${slug}.json`, RESULTS), `${json}\n`);
  console.error(`wrote bench/results/${slug}.json`);
  if (!options.document) return;

  await mkdir(PICTURES, { recursive: true });
  for (const { id, svg } of pictures) await writeFile(new URL(pictureName(slug, id), PICTURES), svg);
  const section = [
    `${date.slice(0, 10)}, ${machineLine(machine)}, ${versions}, ${threads} threads. \`${command}\``,
    ...tables.map(markdownTable),
    ...notes,
    ...pictures.map(({ id, title }) => `![${title}](images/${pictureName(slug, id)})`),
  ].join('\n\n');
  const document = await readFile(DOCUMENT, 'utf8');
  await writeFile(DOCUMENT, replaceGenerated(document, part, `### ${subject}`, section));
  console.error('wrote docs/benchmarks.md');
}

const pictureName = (slug: string, id: string) => `${slug}-${id}.svg`;

/** `SmolLM2-135M-Instruct, re-encoded from Q4_1` → `smollm2-135m-instruct-re-encoded-from-q4-1` */
export function fileName(subject: string): string {
  return subject
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}
