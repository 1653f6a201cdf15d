/** A routine that reads text which may not be there yet: it yields when it needs more. */
export type Reading<T> = Generator<undefined, T, undefined>;

/**
 * Text that comes in pieces, read as if it were whole: what the readers do depends on the text alone, never on where it
 * was cut. They give out all they can be sure of as soon as they can.
 */
export interface TextInput {
  append(text: string): void;
  /** No more text will come. */
  end(): void;
  /** The next UTF-16 unit, not taken; undefined at the end. */
  peek(): Reading<string | undefined>;
  /** Takes `literal` if it comes next. */
  accept(literal: string): Reading<boolean>;
  skipSpace(): Reading<void>;
  /**
   * Takes text up to the first of `markers`, and that marker.
   * @param markers None contains another.
   * @param sink Gets what is before the marker.
   * @returns the marker; undefined at the end of the text
   */
  until(markers: readonly string[], sink: (text: string) => void): Reading<string | undefined>;
  /** Takes units as long as `takes` says so; it sees each of them once, in order. */
  takeWhile(takes: (unit: string) => boolean, sink: (text: string) => void): Reading<void>;
  /** From here on, or still, taken text is kept. */
  hold(): void;
  /** Ends `hold`. @returns what was taken since; '' without `hold` */
  release(): string;
}

const SPACE = /\s/;

export function createTextInput(): TextInput {
  let buffer = '';
  let position = 0;
  let heldFrom: number | undefined;
  let ended = false;

  /** Forgets what nobody will ask for again, so that a long answer costs no more than a short one. */
  function take(end: number): void {
    position = end;
    const keep = heldFrom ?? position;
    if (keep === 0) return;
    buffer = buffer.slice(keep);
    position -= keep;
    if (heldFrom !== undefined) heldFrom = 0;
  }

  function* available(): Reading<boolean> {
    while (position === buffer.length) {
      if (ended) return false;
      yield;
    }
    return true;
  }

  const input: TextInput = {
    append(text) {
      buffer += text;
    },

    end() {
      ended = true;
    },

    *peek() {
      return (yield* available()) ? buffer[position] : undefined;
    },

    *accept(literal) {
      while (true) {
        const text = buffer.slice(position, position + literal.length);
        if (text === literal) {
          take(position + literal.length);
          return true;
        }
        if (ended || !literal.startsWith(text)) return false;
        yield;
      }
    },

    skipSpace: () => input.takeWhile((unit) => SPACE.test(unit), ignore),

    *until(markers, sink) {
      while (true) {
        const found = firstMarker(buffer, position, markers);
        const end = found?.start ?? (ended ? buffer.length : buffer.length - growingSuffix(buffer, position, markers));
        if (end > position) sink(buffer.slice(position, end));
        take(end + (found?.marker.length ?? 0));
        if (found !== undefined) return found.marker;
        if (ended) return undefined;
        yield;
      }
    },

    *takeWhile(takes, sink) {
      while (yield* available()) {
        let end = position;
        while (end < buffer.length && takes(buffer[end]!)) end += 1;
        const more = end === buffer.length;
        if (end > position) sink(buffer.slice(position, end));
        take(end);
        if (!more) return;
      }
    },

    hold() {
      heldFrom ??= position;
    },

    release() {
      const text = heldFrom === undefined ? '' : buffer.slice(heldFrom, position);
      heldFrom = undefined;
      return text;
    },
  };
  return input;
}

function ignore(): void {}

function firstMarker(
  text: string,
  from: number,
  markers: readonly string[],
): { marker: string; start: number } | undefined {
  let first: { marker: string; start: number } | undefined;
  for (const marker of markers) {
    const start = text.indexOf(marker, from);
    if (start >= 0 && (first === undefined || start < first.start)) first = { marker, start };
  }
  return first;
}

/** Length of the longest suffix of `text` behind `from` that is the beginning of a marker. */
function growingSuffix(text: string, from: number, markers: readonly string[]): number {
  let longest = 0;
  for (const marker of markers) {
    for (let length = Math.min(marker.length - 1, text.length - from); length > longest; length -= 1) {
      if (text.endsWith(marker.slice(0, length))) longest = length;
    }
  }
  return longest;
}
