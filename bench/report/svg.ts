import type { CdfPoint, Spread } from '../statistics.js';
import { formatNumber } from './format.js';

/** Plots as SVG text for an HTML page that defines the colours `--series-1…6`, `--ink`, `--muted` and `--grid`. */

export interface Series<Point> {
  label: string;
  /** From 0; the same server has the same colour in every plot. */
  colour: number;
  points: Point;
}

const WIDTH = 520;
const HEIGHT = 240;
const LEFT = 58;
const RIGHT = 24;
const TOP = 14;
const BOTTOM = 34;
const SERIES_COLOURS = 6;

export const colourOf = (index: number): string => `var(--series-${(index % SERIES_COLOURS) + 1})`;

export function escapeXml(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (character) => entities[character]!);
}

export type Scale = (value: number) => number;

export function linear(from: readonly [number, number], to: readonly [number, number]): Scale {
  const span = from[1] - from[0] || 1;
  return (value) => to[0] + ((value - from[0]) / span) * (to[1] - to[0]);
}

export function logarithmic(from: readonly [number, number], to: readonly [number, number]): Scale {
  const scale = linear([Math.log10(from[0]), Math.log10(from[1])], to);
  return (value) => scale(Math.log10(value));
}

/** 0 and three to five round numbers up to at least `max`. */
export function roundTicks(max: number): number[] {
  const top = max > 0 ? max : 1;
  const power = 10 ** Math.floor(Math.log10(top / 4));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size * 5 >= top)!;
  return Array.from({ length: Math.ceil(top / step) + 1 }, (_, i) => i * step);
}

/** 1, 2 and 5 times powers of ten from just below `min` to just above `max`; powers alone over more than three. */
export function logarithmicTicks(min: number, max: number): number[] {
  const first = Math.floor(Math.log10(min));
  const last = Math.ceil(Math.log10(max));
  const factors = last - first > 3 ? [1] : [1, 2, 5];
  const powers = Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
  const ticks = powers.flatMap((power) => factors.map((factor) => factor * power));
  const low = ticks.findLastIndex((tick) => tick <= min);
  const high = ticks.findIndex((tick) => tick >= max);
  return ticks.slice(low, Math.max(high, low + 1) + 1);
}

/** Durations in the unit that a reader would say them in. */
function formatMs(ms: number): string {
  return ms >= 1_000 ? `${Number((ms / 1_000).toPrecision(3))} s` : `${Number(ms.toPrecision(3))} ms`;
}

export function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end', role = 'tick'): string {
  const at = `x="${x.toFixed(1)}" y="${y.toFixed(1)}"`;
  return `<text ${at} text-anchor="${anchor}" class="${role}">${escapeXml(content)}</text>`;
}

function svg(title: string, width: number, height: number, body: string[]): string {
  const box = `viewBox="0 0 ${width} ${height}"`;
  return `<svg ${box} role="img" aria-label="${escapeXml(title)}">${body.join('')}</svg>`;
}

export function path(points: readonly (readonly [number, number])[]): string {
  return points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');
}

function horizontalGrid(y: Scale, ticks: readonly number[], format: (value: number) => string): string[] {
  return ticks.flatMap((tick) => [
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}" class="grid"/>`,
    text(LEFT - 6, y(tick) + 4, format(tick), 'end'),
  ]);
}

const BAR = 22;
const BAR_STEP = 46;
/** Bars have a row of the page to themselves; their figures stand to their right. */
const BARS_WIDTH = 1_064;
const BARS_LONGEST = BARS_WIDTH - 120;

/** Horizontal bars from 0 to the median; a whisker runs from the least to the greatest run. */
export function barChart(title: string, bars: readonly Series<Spread>[], unit: string): string {
  const height = bars.length * BAR_STEP + 8;
  const x = linear([0, Math.max(...bars.map((bar) => bar.points.max || 0))], [0, BARS_LONGEST]);
  const body = bars.flatMap(({ label, colour, points: { median, min, max } }, i) => {
    if (Number.isNaN(median)) return [];
    const y = i * BAR_STEP + 18;
    const middle = y + BAR / 2;
    const whisker = `M${x(min).toFixed(1)} ${middle}H${x(max).toFixed(1)}M${x(min).toFixed(1)} ${middle - 4}v8`;
    return [
      text(0, y - 5, label, 'start', 'label'),
      `<rect x="0" y="${y}" width="${x(median).toFixed(1)}" height="${BAR}" rx="2" fill="${colourOf(colour)}"/>`,
      `<path d="${whisker}M${x(max).toFixed(1)} ${middle - 4}v8" class="whisker"/>`,
      text(x(max) + 8, middle + 4, `${formatNumber(median)} ${unit}`, 'start', 'value'),
    ];
  });
  return svg(title, BARS_WIDTH, height, body);
}

/** Distributions of latencies in milliseconds on a logarithmic axis. */
export function cdfChart(title: string, series: readonly Series<CdfPoint[]>[]): string {
  // Chunks that arrive in one piece are 0 ms apart, which has no logarithm.
  const leastMs = 0.1;
  const values = series.flatMap(({ points }) => points.map((point) => Math.max(leastMs, point.value)));
  if (values.length === 0) return svg(title, WIDTH, HEIGHT, [text(WIDTH / 2, HEIGHT / 2, 'no samples', 'middle')]);
  const ticks = logarithmicTicks(Math.min(...values), Math.max(...values));
  const x = logarithmic([ticks[0]!, ticks.at(-1)!], [LEFT, WIDTH - RIGHT]);
  const y = linear([0, 1], [HEIGHT - BOTTOM, TOP]);
  return svg(title, WIDTH, HEIGHT, [
    ...horizontalGrid(y, [0, 0.25, 0.5, 0.75, 1], (tick) => `${tick * 100} %`),
    ...ticks.map((tick) => text(x(tick), HEIGHT - BOTTOM + 18, formatMs(tick), 'middle')),
    ...series.map(({ points, colour }) => {
      const steps = points.flatMap(({ value, fraction }, i) => {
        const at = x(Math.max(leastMs, value));
        return [[at, y(points[i - 1]?.fraction ?? 0)] as const, [at, y(fraction)] as const];
      });
      return `<path d="${path(steps)}" class="line" stroke="${colourOf(colour)}"/>`;
    }),
  ]);
}

/** Curves over the time of a run, both axes from 0. */
export function timeChart(title: string, series: readonly Series<{ atMs: number; value: number }[]>[]): string {
  const points = series.flatMap((one) => one.points);
  const lastMs = Math.max(1, ...points.map((point) => point.atMs));
  const seconds = roundTicks(lastMs / 1_000).filter((tick) => tick * 1_000 <= lastMs);
  const levels = roundTicks(Math.max(4, ...points.map((point) => point.value)));
  const x = linear([0, lastMs], [LEFT, WIDTH - RIGHT]);
  const y = linear([0, levels.at(-1)!], [HEIGHT - BOTTOM, TOP]);
  return svg(title, WIDTH, HEIGHT, [
    ...horizontalGrid(y, levels, (tick) => tick.toLocaleString('en-US')),
    ...seconds.map((tick) => text(x(tick * 1_000), HEIGHT - BOTTOM + 18, `${tick} s`, 'middle')),
    ...series.map(({ points: curve, colour }) => {
      const steps = curve.map(({ atMs, value }) => [x(atMs), y(value)] as const);
      return `<path d="${path(steps)}" class="line" stroke="${colourOf(colour)}"/>`;
    }),
  ]);
}
