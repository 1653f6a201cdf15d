import type { Chart } from './picture.js';
import { colourOf, linear, logarithmic, logarithmicTicks, path, text } from './svg.js';

export interface Curve {
  label: string;
  /** One value above 0 for each place on the horizontal axis; NaN where nothing was measured. */
  values: readonly number[];
}

const WIDTH = 640;
const HEIGHT = 330;
const LEFT = 62;
const RIGHT = 14;
const TOP = 22;
const BOTTOM = 46;

/**
 * Curves over evenly spaced places, with a logarithmic vertical axis. Places that double from one to the next make the
 * horizontal axis logarithmic as well.
 */
export function curveChart(options: {
  places: readonly string[];
  placesTitle: string;
  valuesTitle: string;
  curves: readonly Curve[];
}): Chart {
  const { places, placesTitle, valuesTitle, curves } = options;
  const values = curves.flatMap((curve) => curve.values).filter((value) => value > 0);
  const ticks = logarithmicTicks(Math.min(...values), Math.max(...values));
  const x = linear([0, Math.max(1, places.length - 1)], [LEFT + 12, WIDTH - RIGHT - 12]);
  const y = logarithmic([ticks[0]!, ticks.at(-1)!], [HEIGHT - BOTTOM, TOP]);
  const body = [
    text(0, 10, valuesTitle, 'start'),
    ...ticks.flatMap((tick) => [
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}" class="grid"/>`,
      text(LEFT - 6, y(tick) + 4, Number(tick.toPrecision(2)).toLocaleString('en-US'), 'end'),
    ]),
    ...places.map((place, i) => text(x(i), HEIGHT - BOTTOM + 18, place, 'middle')),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, placesTitle, 'middle'),
    ...curves.flatMap(({ values: heights }, colour) => {
      const points = heights.flatMap((value, i) => (value > 0 ? [[x(i), y(value)] as const] : []));
      const dots = heights.flatMap((value, i) => {
        if (!(value > 0)) return [];
        const at = `cx="${x(i).toFixed(1)}" cy="${y(value).toFixed(1)}"`;
        return [`<circle ${at} r="3" fill="${colourOf(colour)}"/>`];
      });
      return [`<path d="${path(points)}" class="line" stroke="${colourOf(colour)}"/>`, ...dots];
    }),
  ];
  return { width: WIDTH, height: HEIGHT, body };
}
