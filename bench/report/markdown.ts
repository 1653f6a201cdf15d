import { replaceGenerated } from './document.js';
import { machineLine } from './machine.js';
import type { Report } from './report.js';
import { markdownTable, ratioTable, resultTable } from './rows.js';

/**
 * `document` with the section of this report's model written anew; other models' sections stay.
 *
 * @throws Error when the document lacks the markers.
 */
export function replaceSection(document: string, report: Report): string {
  const section = [
    `${report.date.slice(0, 10)}, ${machineLine(report.machine)}. \`${report.command}\``,
    markdownTable(resultTable(report)),
    markdownTable(ratioTable(report)),
  ].join('\n\n');
  return replaceGenerated(document, 'results', `### ${report.model}`, section);
}
