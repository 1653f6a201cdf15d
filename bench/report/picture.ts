import { DARK, LIGHT } from './palette.js';
import { colourOf, escapeXml, text } from './svg.js';

/** A plot without its frame: what to draw on a surface of this size. */
export interface Chart {
  width: number;
  height: number;
  body: string[];
}

const MARGIN = 20;
const TITLE = 26;
const LEGEND = 24;
/** Width of a character of the legend's font, about. */
const CHARACTER = 6.6;
const SWATCH = 18;
const GAP = 22;

/**
 * A plot as an SVG file of its own, which a Markdown page shows as an image. Everything is inside: style, legend and
 * background, which follow the reader's light or dark scheme.
 *
 * @param legend one label for each series, in the order of their colours
 */
export function picture(title: string, legend: readonly string[], chart: Chart): string {
  const width = chart.width + 2 * MARGIN;
  const height = MARGIN + TITLE + LEGEND + chart.height + MARGIN;
  const below = MARGIN + TITLE + LEGEND;
  const size = `viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img" aria-label="${escapeXml(title)}">
<style>svg {${LIGHT}}
@media (prefers-color-scheme: dark) { svg {${DARK}} }
${STYLE}</style>
<rect class="card" x="0.5" y="0.5" width="${width - 1}" height="${height - 1}" rx="8"/>
${text(MARGIN, MARGIN + 10, title, 'start', 'title')}
${legendEntries(legend).join('\n')}
<g transform="translate(${MARGIN} ${below})">
${chart.body.join('\n')}
</g>
</svg>
`;
}

function legendEntries(labels: readonly string[]): string[] {
  let x = MARGIN;
  return labels.map((label, i) => {
    const at = `x="${x.toFixed(1)}" y="${MARGIN + TITLE - 2}"`;
    const swatch = `<rect ${at} width="12" height="12" rx="2" fill="${colourOf(i)}"/>`;
    const entry = swatch + text(x + SWATCH, MARGIN + TITLE + 8, label, 'start', 'label');
    x += SWATCH + label.length * CHARACTER + GAP;
    return entry;
  });
}

const STYLE = `.card { fill: var(--card); stroke: var(--grid); }
text { fill: var(--muted); font: 12px system-ui, sans-serif; } text.label, text.value { fill: var(--ink); }
text.title { fill: var(--ink); font-size: 15px; font-weight: 600; }
.grid { stroke: var(--grid); } .line { fill: none; stroke-width: 2; stroke-linejoin: round; }`;
