import { anyOf, type Rules } from './ebnf.js';

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
export function integersWithin(bounds: Bounds, rules: Rules): string | undefined {
  const [low, high] = scaledBounds(bounds, 0);
  return oneOf(
    signed(low, high, (from, to) => decimals(from, to, 0)),
    rules,
  );
}

/** EBNF of the integers within bounds that are multiples of `step`; undefined: there is none, or there are too many. */
export function multiplesWithin(bounds: Bounds, step: number, most: number, rules: Rules): string | undefined {
  const [low, high] = scaledBounds(bounds, 0);
  const unit = BigInt(step);
  const first = ceilDivide(low, unit) * unit;
  if ((high - first) / unit >= BigInt(most) || first > high) return undefined;
  const multiples: Spelling[] = [];
  for (let value = first; value <= high; value += unit) multiples.push([...String(value)]);
  return oneOf(multiples, rules);
}

/** EBNF of decimal numbers within bounds: not all, but nearly, and none beyond. undefined: there is none. */
export function numbersWithin(bounds: Bounds, rules: Rules): string | undefined {
  const written = Object.values(bounds).map((bound) => decimalsOf(bound as number | undefined));
  const isOpen = bounds.exclusiveMinimum !== undefined || bounds.exclusiveMaximum !== undefined;
  const precision = Math.min(MOST_DECIMALS, Math.max(0, ...written) + (isOpen ? 2 : 0));
  const spellings: Spelling[] = [];
  for (let places = 0; places <= precision; places++) {
    const [low, high] = scaledBounds(bounds, places);
    spellings.push(...signed(low, high, (from, to) => decimals(from, to, places)));
  }
  // More digits only where whatever they are stays within.
  const [low, high] = scaledBounds(bounds, precision);
  const more = [...(precision === 0 ? ['.'] : []), `[0-9]{1,${DIGITS - precision}}`];
  const longer = signed(low, high, (from, to) => decimals(from, to - 1n, precision));
  return oneOf([...spellings, ...longer.map((spelling) => [...spelling, ...more])], rules);
}

/** A number's characters: each itself, a range of digits as `2-7`, or further digits as EBNF. */
type Spelling = string[];

/** EBNF of several spellings, in which no two alternatives begin alike; undefined: there are none. */
function oneOf(spellings: readonly Spelling[], rules: Rules): string | undefined {
  if (spellings.length === 0) return undefined;
  const ways: string[] = [];
  const rests = (matches: (character: string) => boolean): Spelling[] =>
    spellings.filter(([first]) => first !== undefined && matches(first)).map((spelling) => spelling.slice(1));
  const sequence = (first: string, after: readonly Spelling[]): string => {
    const rest = oneOf(after, rules)!;
    if (rest === '""') return first;
    // Choices within choices are what XGrammar takes for one another.
    return `${first} ${rest.startsWith('(') ? rules.separate(rest) : rest}`;
  };
  const digits = new Map<string, { first: number; last: number; after: Spelling[] }>();
  for (let value = 0; value < 10; value++) {
    const after = rests((range) => /^\d/.test(range) && value >= Number(range[0]) && value <= Number(range.at(-1)));
    if (after.length === 0) continue;
    // Neighbours that go on alike are one range.
    const key = `${JSON.stringify(after)}`;
    const known = [...digits.values()].at(-1);
    if (known?.last === value - 1 && digits.has(key) && digits.get(key) === known) known.last = value;
    else digits.set(digits.has(key) ? `${key} ${value}` : key, { first: value, last: value, after });
  }
  for (const { first, last, after } of digits.values()) {
    ways.push(sequence(first === last ? `"${first}"` : `[${first}-${last}]`, after));
  }
  for (const sign of ['-', '.']) {
    const after = rests((character) => character === sign);
    if (after.length > 0) ways.push(sequence(`"${sign}"`, after));
  }
  ways.push(...new Set(spellings.flatMap(([first]) => (first?.startsWith('[') ? [first] : []))));
  if (spellings.some((spelling) => spelling.length === 0)) ways.push('""');
  return anyOf(ways);
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

function signed(low: bigint, high: bigint, range: (from: bigint, to: bigint) => Spelling[]): Spelling[] {
  if (low > high) return [];
  const positive = high < 0n ? [] : range(low > 0n ? low : 0n, high);
  const negative = low >= 0n ? [] : range(high < 0n ? -high : 1n, -low);
  return [...positive, ...negative.map((spelling) => ['-', ...spelling])];
}

/** m / 10^places, with all its places, for all m from `from` to `to`, neither negative. */
function decimals(from: bigint, to: bigint, places: number): Spelling[] {
  if (from > to) return [];
  const spellings: Spelling[] = [];
  const longest = Math.max(String(to).length, places + 1);
  for (let length = Math.max(String(from).length, places + 1); length <= longest; length++) {
    const low = larger(from, length === places + 1 ? 0n : 10n ** BigInt(length - 1));
    const high = smaller(to, 10n ** BigInt(length) - 1n);
    for (const digits of between(String(low).padStart(length, '0'), String(high).padStart(length, '0'))) {
      const point = places === 0 ? [] : ['.', ...digits.slice(length - places)];
      spellings.push([...digits.slice(0, length - places), ...point]);
    }
  }
  return spellings;
}

/** Ranges of digits, place by place, that together match the strings from `low` to `high`, which are equally long. */
function between(low: string, high: string): Spelling[] {
  if (low === '') return [[]];
  const [first, last] = [Number(low[0]), Number(high[0])];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (first === last) return between(lowRest, highRest).map((rest) => [`${first}-${last}`, ...rest]);
  const [zeros, nines] = ['0'.repeat(lowRest.length), '9'.repeat(lowRest.length)];
  const result: Spelling[] = [];
  const [from, to] = [lowRest === zeros ? first : first + 1, highRest === nines ? last : last - 1];
  if (lowRest !== zeros) result.push(...between(lowRest, nines).map((rest) => [`${first}-${first}`, ...rest]));
  if (from <= to) result.push([`${from}-${to}`, ...Array.from(lowRest, () => '0-9')]);
  if (highRest !== nines) result.push(...between(zeros, highRest).map((rest) => [`${last}-${last}`, ...rest]));
  return result;
}

function ceilDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return quotient * by < value ? quotient + 1n : quotient;
}
