import type { Spread } from '../statistics.js';

/** At most three significant digits, thousands separated: 0.123, 12.3, 1,235. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3;
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** `median (min–max)`; the median alone where nothing was repeated. */
export function formatSpread({ median, min, max }: Spread): string {
  if (min === max || Number.isNaN(median)) return formatNumber(median);
  return `${formatNumber(median)} (${formatNumber(min)}–${formatNumber(max)})`;
}
