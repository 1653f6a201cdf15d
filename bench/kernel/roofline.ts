import { formatNumber } from '../report/format.js';
import { logarithmic, type Scale, text } from '../report/svg.js';
import { MEASURED_TYPES } from './cases.js';
import type { KernelResult, Peaks } from './measure.js';

const WIDTH = 960;
const HEIGHT = 560;
const LEFT = 64;
const RIGHT = 24;
const TOP = 20;
const BOTTOM = 56;
/** Of one line of text. */
const NAME_HEIGHT = 15;
const PLOT = { right: WIDTH - RIGHT, bottom: HEIGHT - BOTTOM };

interface Axis {
  /** Powers of ten, from the first to the last. */
  ticks: number[];
  place: Scale;
}

/** From a power of ten at most `min` to one at least `max`. */
function axis(min: number, max: number, from: number, to: number): Axis {
  const first = Math.floor(Math.log10(min));
  const last = Math.ceil(Math.log10(max));
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => 10 ** (first + i));
  return { ticks, place: logarithmic([ticks[0]!, ticks.at(-1)!], [from, to]) };
}

/**
 * Results under the roofs of their machine (Williams, Waterman and Patterson 2009), both axes logarithmic, as an SVG
 * file that follows the reader's colour scheme.
 */
export function rooflineSvg(results: readonly KernelResult[], peaks: Peaks): string {
  const roofs = (['f32', 'int16', 'int8'] as const).flatMap((name) => {
    const gmacs = peaks[`${name}_gmacs`];
    return gmacs === undefined ? [] : [{ label: LABELS[name], gflops: 2 * gmacs }];
  });
  const slopes = [
    { label: 'memory', gbs: peaks.read_gbs },
    { label: 'L2 cache', gbs: peaks.l2_read_gbs },
  ];
  const highest = Math.max(...roofs.map(({ gflops }) => gflops), ...results.map(({ gflops }) => gflops));
  const lowest = Math.min(...results.map(({ gflops }) => gflops));
  const x = axis(0.1, Math.max(...results.map(({ intensity }) => intensity)), LEFT, PLOT.right);
  const y = axis(lowest / 2, highest, PLOT.bottom, TOP);
  const body = [
    ...grid(x, y),
    ...slopes.flatMap(({ label, gbs }) => slope(label, gbs, highest, x, y)),
    ...roofs.flatMap(({ label, gflops }) => flat(label, gflops, Math.max(...slopes.map(({ gbs }) => gbs)), x, y)),
    ...points(results, x, y),
  ];
  const title = 'Roofline of the attention kernel';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">`,
    `<style>${STYLE}</style>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" rx="8" class="page"/>`,
    ...body,
    '</svg>\n',
  ].join('\n');
}

const LABELS = { f32: 'f32', int16: 'int16 dot products', int8: 'int8 dot products' };

function grid(x: Axis, y: Axis): string[] {
  return [
    ...x.ticks.flatMap((tick) => [
      line(x.place(tick), TOP, x.place(tick), PLOT.bottom, 'grid'),
      text(x.place(tick), PLOT.bottom + 18, String(tick), 'middle'),
    ]),
    ...y.ticks.flatMap((tick) => [
      line(LEFT, y.place(tick), PLOT.right, y.place(tick), 'grid'),
      text(LEFT - 8, y.place(tick) + 4, String(tick), 'end'),
    ]),
    text((LEFT + PLOT.right) / 2, HEIGHT - 14, 'operations per byte of pages', 'middle'),
    `<g transform="rotate(-90 18 ${(TOP + PLOT.bottom) / 2})">`,
    text(18, (TOP + PLOT.bottom) / 2, 'GFLOP/s', 'middle'),
    '</g>',
  ];
}

/** What memory allows: as many operations as come with its bytes. */
function slope(label: string, gbs: number, highest: number, x: Axis, y: Axis): string[] {
  const first = Math.max(x.ticks[0]!, y.ticks[0]! / gbs);
  const last = highest / gbs;
  const [x1, y1, x2, y2] = [x.place(first), y.place(first * gbs), x.place(last), y.place(highest)];
  const degrees = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI;
  const at = [x1 + 0.05 * (x2 - x1), y1 + 0.05 * (y2 - y1) - 7] as const;
  return [
    line(x1, y1, x2, y2, 'roof'),
    `<g transform="rotate(${degrees.toFixed(1)} ${at[0].toFixed(1)} ${at[1].toFixed(1)})">`,
    text(at[0], at[1], `${label}, ${formatNumber(gbs)} GB/s`, 'start', 'roof-label'),
    '</g>',
  ];
}

/** What arithmetic allows, from where the fastest memory feeds it. */
function flat(label: string, gflops: number, fastestGbs: number, x: Axis, y: Axis): string[] {
  const height = y.place(gflops);
  return [
    line(x.place(gflops / fastestGbs), height, PLOT.right, height, 'roof'),
    text(PLOT.right - 4, height - 6, `${label}, ${formatNumber(gflops)} GFLOP/s`, 'end', 'roof-label'),
  ];
}

interface Point {
  name: string;
  x: number;
  y: number;
}

/** A dot for each result, lines between those of a workload, and its name beside the last of them. */
function points(results: readonly KernelResult[], x: Axis, y: Axis): string[] {
  const place = ({ workload, pageType, intensity, gflops }: KernelResult) => {
    return { name: workload.name, type: pageType, x: x.place(intensity), y: y.place(gflops) };
  };
  const dots = results.map(place);
  const named = dots.filter(({ type }) => type === MEASURED_TYPES.at(-1));
  // Without reuse of pages, results lie above each other.
  const stacked = named.filter((point) => point.x < x.place(10));
  const others = named.filter((point) => point.x >= x.place(10));
  return [
    ...named.flatMap((point) => {
      const same = dots.filter(({ name }) => name === point.name);
      return same.slice(1).map((to, i) => line(same[i]!.x, same[i]!.y, to.x, to.y, 'leader'));
    }),
    ...namesAside(stacked),
    ...others.map((point) => nameAboveOrBelow(point, others)),
    ...dots.map((point) => dot(point, point.type)),
    ...MEASURED_TYPES.flatMap((type, i) => {
      const height = PLOT.bottom - 20 * (MEASURED_TYPES.length - i) + 4;
      return [
        dot({ name: '', x: PLOT.right - 130, y: height }, type),
        text(PLOT.right - 118, height + 4, `${type.toUpperCase()} pages`, 'start', 'label'),
      ];
    }),
  ];
}

/** Dots above each other: their names in a column to the right, in the same order, as near as they fit. */
function namesAside(points: readonly Point[]): string[] {
  const ordered = points.toSorted((a, b) => a.y - b.y);
  const heights: number[] = [];
  for (const { y } of ordered) heights.push(Math.max(y, (heights.at(-1) ?? Number.NEGATIVE_INFINITY) + NAME_HEIGHT));
  const shift = heights.reduce((sum, height, i) => sum + height - ordered[i]!.y, 0) / Math.max(1, heights.length);
  return ordered.flatMap((point, i) => {
    const height = heights[i]! - shift;
    return [
      line(point.x + 7, point.y, point.x + 18, height, 'leader'),
      text(point.x + 21, height + 4, point.name, 'start', 'label'),
    ];
  });
}

/** Above, unless a neighbour is higher. */
function nameAboveOrBelow(point: Point, all: readonly Point[]): string {
  const below = all.some((other) => Math.abs(other.x - point.x) < 100 && other.y < point.y);
  return text(point.x, point.y + (below ? 20 : -12), point.name, 'middle', 'label');
}

function dot({ x, y }: Point, role: string): string {
  return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="5" class="${role}"/>`;
}

function line(x1: number, y1: number, x2: number, y2: number, role: string): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map((value) => value.toFixed(1));
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" class="${role}"/>`;
}

const STYLE = `
text { font: 12px system-ui, sans-serif; fill: #6c6a64; }
.label { paint-order: stroke; stroke: #fbfaf7; stroke-width: 4; }
.page { fill: #fbfaf7; } .grid { stroke: #e6e3dc; } .leader { stroke: #a09d95; }
.roof { stroke: #1d1c1a; stroke-width: 1.5; } .roof-label, .label { fill: #1d1c1a; }
.i16 { fill: #2f8f5b; } .f16 { fill: #2a78d6; } .q8_0 { fill: #d9622b; }
@media (prefers-color-scheme: dark) {
  text { fill: #a09d95; }
  .label { stroke: #171614; }
  .page { fill: #171614; } .grid { stroke: #35332f; } .leader { stroke: #6c6a64; }
  .roof { stroke: #eceae4; } .roof-label, .label { fill: #eceae4; }
  .i16 { fill: #5cc48b; } .f16 { fill: #5b9ff0; } .q8_0 { fill: #f0875a; }
}`;
