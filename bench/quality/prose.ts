import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { llamaCppSources } from '../llama-cpp.js';

/** What it is, for the reader of a table. */
export const PROSE_SOURCE = 'the prose paragraphs of llama.cpp’s own documentation, which comes with its sources';

const SHORTEST_PARAGRAPH = 80;

/**
 * Real English text that is on every machine and the same for one release of llama.cpp: paragraphs of its Markdown
 * files that are sentences, without headings, lists, tables and code.
 *
 * @throws Error when git is not installed.
 */
export async function readProse(): Promise<string> {
  const source = await llamaCppSources();
  const files = readdirSync(join(source, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name))
    .concat('CONTRIBUTING.md', 'SECURITY.md')
    .toSorted();
  const texts = await Promise.all(files.map((file) => readFile(join(source, file), 'utf8')));
  return texts.flatMap(paragraphsOf).join('\n\n');
}

export function paragraphsOf(markdown: string): string[] {
  return markdown
    .replace(/\r/g, '')
    .replace(/^( *)```[\s\S]*?^\1```.*$/gm, '')
    .split(/\n\s*\n/)
    .filter((paragraph) => /^[A-Z]/.test(paragraph) && paragraph.length >= SHORTEST_PARAGRAPH)
    .filter((paragraph) => !/^\s*([-*+|>#]|\d+\.)/m.test(paragraph))
    .map((paragraph) => paragraph.replace(/\s+/g, ' ').trim());
}
