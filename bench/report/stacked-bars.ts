import type { Chart } from './picture.js';
import { colourOf, linear, roundTicks, text } from './svg.js';

export interface StackedBar {
  label: string;
  /** One part for each colour, from 0. */
  parts: readonly number[];
  /** Stands at the end of the bar. */
  note?: string;
}

const WIDTH = 640;
const LABELS = 110;
const NOTES = 90;
const BAR = 20;
const BAR_STEP = 32;
const BOTTOM = 40;

/** Horizontal bars, each a row of parts. `firstColour` is the colour of the first part. */
export function stackedBars(options: {
  title: string;
  unit: string;
  bars: readonly StackedBar[];
  firstColour?: number;
}): Chart {
  const { title, unit, bars, firstColour = 0 } = options;
  const sum = (parts: readonly number[]) => parts.reduce((total, part) => total + part, 0);
  const ticks = roundTicks(Math.max(...bars.map(({ parts }) => sum(parts))));
  const bottom = 18 + bars.length * BAR_STEP;
  const x = linear([0, ticks.at(-1)!], [LABELS, WIDTH - NOTES]);
  const grid = ticks.flatMap((tick) => [
    `<line x1="${x(tick).toFixed(1)}" x2="${x(tick).toFixed(1)}" y1="18" y2="${bottom}" class="grid"/>`,
    text(x(tick), bottom + 16, String(Number(tick.toPrecision(3))), 'middle'),
  ]);
  const body = bars.flatMap(({ label, parts, note }, i) => {
    const y = 24 + i * BAR_STEP;
    let at = 0;
    const pieces = parts.map((part, colour) => {
      const from = x(at);
      at += part;
      const size = `x="${from.toFixed(2)}" y="${y}" width="${(x(at) - from).toFixed(2)}" height="${BAR}"`;
      return `<rect ${size} fill="${colourOf(firstColour + colour)}"/>`;
    });
    return [
      text(LABELS - 8, y + BAR / 2 + 4, label, 'end', 'label'),
      ...pieces,
      ...(note === undefined ? [] : [text(x(at) + 6, y + BAR / 2 + 4, note, 'start', 'value')]),
    ];
  });
  const caption = [text(0, 10, title, 'start'), text((LABELS + WIDTH - NOTES) / 2, bottom + 32, unit, 'middle')];
  return { width: WIDTH, height: bottom + BOTTOM, body: [...caption, ...grid, ...body] };
}

/** Charts one below the other. */
export function column(charts: readonly Chart[]): Chart {
  let y = 0;
  const body = charts.map((chart) => {
    const placed = `<g transform="translate(0 ${y})">${chart.body.join('')}</g>`;
    y += chart.height + 12;
    return placed;
  });
  return { width: Math.max(...charts.map((chart) => chart.width)), height: y, body };
}
