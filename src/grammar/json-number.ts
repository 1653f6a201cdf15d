import { anyOf, literal } from './ebnf.js';

/** A number without a bound has up to so many digits, so that no reader of it makes it infinite or rounds it. */
const DIGITS = 15;
const LARGEST = 10n ** BigInt(DIGITS) - 1n;

/** Decimals that bounds are rounded to, inwards. */
const MOST_DECIMALS = 6;

export const ANY_INTEGER = `"-"? ("0" | [1-9] [0-9]{0,${DIGITS - 1}})`;
export const ANY_NUMBER = `${ANY_INTEGER} ("." [0-9]{1,${DIGITS}})? ([eE] [+-]? [0-9]{1,2})?`;

export interface Bounds {
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  exclusiveMaximum?: number;
}

export function isBounded(bounds: Bounds): boolean {
  return Object.values(bounds).some((bound) => bound !== undefined);
}

/** EBNF of the integers within bounds; undefined: there is none. */
export function integersWithin(bounds: Bounds): string | undefined {
  const [low, high] = scaledBounds(bounds, 0);
  const alternatives = signed(low, high, (from, to) => decimals(from, to, 0));
  return alternatives.length === 0 ? undefined : anyOf(alternatives);
}

/** EBNF of the integers within bounds that are multiples of `step`; undefined: there is none, or there are too many. */
export function multiplesWithin(bounds: Bounds, step: number, most: number): string | undefined {
  const [low, high] = scaledBounds(bounds, 0);
  const unit = BigInt(step);
  const first = ceilDivide(low, unit) * unit;
  if ((high - first) / unit >= BigInt(most) || first > high) return undefined;
  const multiples: string[] = [];
  for (let value = first; value <= high; value += unit) multiples.push(literal(String(value)));
  return anyOf(multiples);
}

/** EBNF of decimal numbers within bounds: not all, but nearly, and none beyond. undefined: there is none. */
export function numbersWithin(bounds: Bounds): string | undefined {
  const written = Object.values(bounds).map((bound) => decimalsOf(bound as number | undefined));
  const isOpen = bounds.exclusiveMinimum !== undefined || bounds.exclusiveMaximum !== undefined;
  const precision = Math.min(MOST_DECIMALS, Math.max(0, ...written) + (isOpen ? 2 : 0));
  const alternatives: string[] = [];
  for (let places = 0; places <= precision; places++) {
    const [low, high] = scaledBounds(bounds, places);
    alternatives.push(...signed(low, high, (from, to) => decimals(from, to, places)));
  }
  // More digits only where whatever they are stays within.
  const [low, high] = scaledBounds(bounds, precision);
  const more = `[0-9]{1,${DIGITS - precision}}`;
  const longer = signed(low, high, (from, to) =>
    decimals(from, to - 1n, precision).map((number) => `${number} ${precision === 0 ? '"." ' : ''}${more}`),
  );
  alternatives.push(...longer);
  return alternatives.length === 0 ? undefined : anyOf(alternatives);
}

/** The lowest and highest m with m / 10^places within the bounds. */
function scaledBounds(bounds: Bounds, places: number): [low: bigint, high: bigint] {
  const { minimum, exclusiveMinimum, maximum, exclusiveMaximum } = bounds;
  const lows: bigint[] = [];
  const highs: bigint[] = [];
  if (minimum !== undefined) lows.push(scale(minimum, places).ceil);
  if (exclusiveMinimum !== undefined) lows.push(scale(exclusiveMinimum, places).floor + 1n);
  if (maximum !== undefined) highs.push(scale(maximum, places).floor);
  if (exclusiveMaximum !== undefined) highs.push(scale(exclusiveMaximum, places).ceil - 1n);
  return [lows.reduce(larger, lows[0] ?? -LARGEST), highs.reduce(smaller, highs[0] ?? LARGEST)];
}

function larger(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

/** Number times 10^places, rounded down and up; exact for the decimal that JavaScript writes it as. */
function scale(value: number, places: number): { floor: bigint; ceil: bigint } {
  const text = /e/i.test(String(value)) ? value.toFixed(20) : String(value);
  const [whole, fraction = ''] = text.replace('-', '').split('.') as [string, string?];
  const digits = BigInt(whole + fraction.slice(0, places).padEnd(places, '0'));
  const isExact = /^0*$/.test(fraction.slice(places));
  if (value >= 0) return { floor: digits, ceil: isExact ? digits : digits + 1n };
  return { floor: isExact ? -digits : -digits - 1n, ceil: -digits };
}

function decimalsOf(value: number | undefined): number {
  if (value === undefined) return 0;
  return (/e/i.test(String(value)) ? '' : (String(value).split('.')[1] ?? '')).length;
}

function signed(low: bigint, high: bigint, range: (from: bigint, to: bigint) => string[]): string[] {
  if (low > high) return [];
  const positive = high < 0n ? [] : range(low > 0n ? low : 0n, high);
  const negative = low >= 0n ? [] : range(high < 0n ? -high : 1n, -low);
  return [...positive, ...(negative.length === 0 ? [] : [`"-" ${anyOf(negative)}`])];
}

/** EBNF of m / 10^places, with all its places, for all m from `from` to `to`, neither negative. */
function decimals(from: bigint, to: bigint, places: number): string[] {
  if (from > to) return [];
  const alternatives: string[] = [];
  for (
    let length = Math.max(String(from).length, places + 1);
    length <= Math.max(String(to).length, places + 1);
    length++
  ) {
    const least = length === places + 1 ? 0n : 10n ** BigInt(length - 1);
    const most = 10n ** BigInt(length) - 1n;
    const low = String(from > least ? from : least).padStart(length, '0');
    const high = String(to < most ? to : most).padStart(length, '0');
    for (const digits of between(low, high)) {
      const point = places === 0 ? [] : ['"."', ...digits.slice(length - places)];
      alternatives.push([...digits.slice(0, length - places), ...point].join(' '));
    }
  }
  return alternatives;
}

/** Classes of digits, place by place, that together match the strings from `low` to `high`, which are equally long. */
function between(low: string, high: string): string[][] {
  if (low === '') return [[]];
  const [first, last] = [Number(low[0]), Number(high[0])];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (first === last) return between(lowRest, highRest).map((rest) => [digit(first, last), ...rest]);
  const [zeros, nines] = ['0'.repeat(lowRest.length), '9'.repeat(lowRest.length)];
  const result: string[][] = [];
  const [from, to] = [lowRest === zeros ? first : first + 1, highRest === nines ? last : last - 1];
  if (lowRest !== zeros) result.push(...between(lowRest, nines).map((rest) => [digit(first, first), ...rest]));
  if (from <= to) result.push([digit(from, to), ...Array.from(lowRest, () => '[0-9]')]);
  if (highRest !== nines) result.push(...between(zeros, highRest).map((rest) => [digit(last, last), ...rest]));
  return result;
}

function digit(first: number, last: number): string {
  return first === last ? `"${first}"` : `[${first}-${last}]`;
}

function ceilDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return quotient * by < value ? quotient + 1n : quotient;
}
