import { machineLine } from './machine.js';
import type { Report } from './report.js';
import { markdownTable, ratioTable, resultTable } from './rows.js';

const BEGIN = '<!-- generated: results -->';
const END = '<!-- /generated -->';

/**
 * `document` with the section of this report's model, between its markers, written anew; other models' sections stay
 * and all are kept in alphabetical order.
 *
 * @throws Error when the document lacks the markers.
 */
export function replaceSection(document: string, report: Report): string {
  const begin = document.indexOf(BEGIN);
  const end = document.indexOf(END, begin);
  if (begin < 0 || end < 0) throw new Error(`the document has no part between "${BEGIN}" and "${END}"`);
  const heading = `### ${report.model}`;
  const others = document
    .slice(begin + BEGIN.length, end)
    .split(/^(?=### )/m)
    .map((section) => section.trim())
    .filter((section) => section.startsWith('### ') && section.split('\n')[0] !== heading);
  const sections = [...others, sectionOf(heading, report)].toSorted();
  return `${document.slice(0, begin)}${BEGIN}\n\n${sections.join('\n\n')}\n\n${document.slice(end)}`;
}

function sectionOf(heading: string, report: Report): string {
  return [
    heading,
    `${report.date.slice(0, 10)}, ${machineLine(report.machine)}. \`${report.command}\``,
    markdownTable(resultTable(report)),
    markdownTable(ratioTable(report)),
  ].join('\n\n');
}
