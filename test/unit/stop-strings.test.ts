import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createStopStringMatcher } from '../../src/serving/text/stop-strings.js';

/** Few letters, so that stop strings occur, overlap and nearly occur. */
const word = (minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength, maxLength });

/** What the matcher must give out for the whole of a text, by looking at all of it at once. */
function expected(text: string, stops: readonly string[], include: boolean): { text: string; stop?: string } {
  for (let end = 1; end <= text.length; end += 1) {
    const complete = stops.filter((stop) => text.slice(0, end).indexOf(stop) >= 0);
    if (complete.length === 0) continue;
    const [stop] = complete.sort((a, b) => b.length - a.length) as [string];
    return { text: text.slice(0, include ? end : end - stop.length), stop };
  }
  return { text };
}

function feed(pieces: readonly string[], stops: readonly string[], include: boolean): { text: string; stop?: string } {
  const matcher = createStopStringMatcher(stops, include);
  let text = '';
  for (const piece of pieces) {
    const result = matcher.push(piece);
    text += result.text;
    if (result.stop !== undefined) return { text, stop: result.stop };
  }
  return { text: text + matcher.flush() };
}

describe('stop strings', () => {
  it('end the text at the same place wherever it is split', () => {
    const stops = fc.array(word(1, 4), { maxLength: 4 });
    fc.assert(
      fc.property(word(0, 12), stops, fc.boolean(), (text, stops, include) => {
        const whole = expected(text, stops, include);
        for (let first = 0; first <= text.length; first += 1) {
          for (let second = first; second <= text.length; second += 1) {
            const pieces = [text.slice(0, first), text.slice(first, second), text.slice(second)];
            expect(feed(pieces, stops, include)).toEqual(whole);
          }
        }
      }),
    );
  });

  it('end a text that comes character by character as they end the whole', () => {
    fc.assert(
      fc.property(word(0, 40), fc.array(word(1, 6), { maxLength: 3 }), fc.boolean(), (text, stops, include) => {
        expect(feed([...text], stops, include)).toEqual(expected(text, stops, include));
      }),
    );
  });

  it('hold back exactly the longest suffix that may still become one', () => {
    fc.assert(
      fc.property(word(0, 12), fc.array(word(1, 5), { minLength: 1, maxLength: 3 }), (text, stops) => {
        const { text: given, stop } = createStopStringMatcher(stops, false).push(text);
        fc.pre(stop === undefined);
        const mayGrow = (from: number) => stops.some((stop) => stop.startsWith(text.slice(from)));
        const held = [...text].findIndex((_, from) => mayGrow(from));
        expect(given).toBe(held < 0 ? text : text.slice(0, held));
      }),
    );
  });

  it('name the one that is complete first, and of several that end together the one that begins first', () => {
    expect(feed(['xabcd'], ['abcd', 'bc'], false)).toEqual({ text: 'xa', stop: 'bc' });
    expect(feed(['xabc'], ['bc', 'abc'], false)).toEqual({ text: 'x', stop: 'abc' });
  });

  it('give out the text behind a false start', () => {
    const matcher = createStopStringMatcher(['\n\nUser:'], false);
    expect(matcher.push('Hello\n')).toEqual({ text: 'Hello' });
    expect(matcher.push('\nUse')).toEqual({ text: '' });
    expect(matcher.push('ful')).toEqual({ text: '\n\nUseful' });
  });
});
