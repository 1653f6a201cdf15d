import { InvalidArgumentError } from 'commander';

/** @throws {InvalidArgumentError} for anything but a finite decimal number */
export function parseNumber(value: string): number {
  const number = numberOf(value);
  if (!Number.isFinite(number)) throw new InvalidArgumentError('It must be a number.');
  return number;
}

/** @throws {InvalidArgumentError} for anything but 0 (any free port) to 65535 */
export function parsePort(value: string): number {
  const port = numberOf(value);
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw new InvalidArgumentError('It must be a port number from 1 to 65535, or 0 for any free one.');
  }
  return port;
}

/** @throws {InvalidArgumentError} for anything but a whole number from 1 */
export function parseBytes(value: string): number {
  const bytes = numberOf(value);
  if (!Number.isSafeInteger(bytes) || bytes < 1) throw new InvalidArgumentError('It must be a whole number of bytes.');
  return bytes;
}

/** @throws {InvalidArgumentError} for anything but a number of seconds from 0 to a week */
export function parseSeconds(value: string): number {
  const seconds = numberOf(value);
  if (!(seconds >= 0 && seconds <= 604_800)) throw new InvalidArgumentError('It must be a number of seconds from 0.');
  return seconds;
}

/** @throws {InvalidArgumentError} for anything but a whole number from 0 */
export function parseCount(value: string): number {
  const count = numberOf(value);
  if (!Number.isSafeInteger(count) || count < 0) throw new InvalidArgumentError('It must be a whole number from 0.');
  return count;
}

/** NaN for anything but a number; unlike `Number`, also for nothing at all. */
function numberOf(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text);
}
