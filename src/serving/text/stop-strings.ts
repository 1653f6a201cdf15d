/**
 * Finds the first occurrence of any stop string in text that comes in pieces, whatever the pieces are. Only a suffix
 * that may still grow into a stop string is held back.
 */
export interface StopStringMatcher {
  /** Text that is now safe to give out, and the stop string that ended it. After a stop, nothing more may be pushed. */
  push(text: string): StopStringResult;
  /** What was held back, once no more text will come. */
  flush(): string;
}

export interface StopStringResult {
  text: string;
  /** The stop string found; the text ends before it, or after it when it is to be included. */
  stop?: string;
}

/**
 * "First" is the occurrence that is complete first, as generation ends there; among those that complete at the same
 * character, the one that begins first.
 *
 * @param stops Non-empty strings.
 * @param include Give out the stop string too.
 */
export function createStopStringMatcher(stops: readonly string[], include: boolean): StopStringMatcher {
  const longest = Math.max(0, ...stops.map((stop) => stop.length));
  let held = '';

  return {
    push(piece) {
      const text = held + piece;
      const found = firstComplete(text, stops);
      if (found !== undefined) {
        held = '';
        return { text: text.slice(0, include ? found.end : found.end - found.stop.length), stop: found.stop };
      }
      const safe = text.length - growingSuffix(text, stops, longest);
      held = text.slice(safe);
      return { text: text.slice(0, safe) };
    },

    flush() {
      const text = held;
      held = '';
      return text;
    },
  };
}

/** The stop string that ends first in `text`; the longest where several end together. */
function firstComplete(text: string, stops: readonly string[]): { stop: string; end: number } | undefined {
  let best: { stop: string; end: number } | undefined;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    if (start < 0) continue;
    const end = start + stop.length;
    if (best === undefined || end < best.end || (end === best.end && stop.length > best.stop.length)) {
      best = { stop, end };
    }
  }
  return best;
}

/** Length of the longest suffix of `text` that is the beginning of a stop string. */
function growingSuffix(text: string, stops: readonly string[], longest: number): number {
  for (let length = Math.min(longest - 1, text.length); length > 0; length -= 1) {
    const suffix = text.slice(text.length - length);
    if (stops.some((stop) => stop.length > length && stop.startsWith(suffix))) return length;
  }
  return 0;
}
