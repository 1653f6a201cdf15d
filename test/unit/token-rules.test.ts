import { describe, expect, it } from 'vitest';
import { TokenRules } from '../../src/engine/token-rules.js';
import { samplingParams } from '../support/engine-requests.js';

const VOCAB = 70;

function rules(sampling: Parameters<typeof samplingParams>[0], generated: readonly number[] = []): TokenRules {
  const made = TokenRules.of(samplingParams(sampling), VOCAB)!;
  for (const token of generated) made.count(token);
  return made;
}

function tokensIn(words: Int32Array | undefined): number[] | undefined {
  return words && Array.from({ length: VOCAB }, (_, token) => token).filter((t) => (words[t >> 5]! >>> (t & 31)) & 1);
}

function mask(...tokens: number[]): Int32Array {
  const words = new Int32Array(3);
  for (const token of tokens) words[token >> 5]! |= 1 << (token & 31);
  return words;
}

it('there are none where sampling parameters ask for none', () => {
  expect(TokenRules.of(samplingParams(), VOCAB)).toBeUndefined();
});

describe('allowed tokens', () => {
  it('are all that can be chosen', () => {
    expect(tokensIn(rules({ allowedTokenIds: [69, 3, 31] }).next().allowed)).toEqual([3, 31, 69]);
  });

  it('are those that a grammar allows too, unless that is none', () => {
    const only = rules({ allowedTokenIds: [3, 31, 69] });
    expect(tokensIn(only.next(mask(31, 32)).allowed)).toEqual([31]);
    expect(tokensIn(only.next(mask(32)).allowed)).toEqual([32]);
  });
});

describe('bad words', () => {
  const badWords = [[5], [1, 2, 3]];

  it('ban a single token always', () => {
    expect(rules({ badWords }).next()).toEqual({ banned: [5] });
  });

  it.each([
    [
      [1, 2],
      [5, 3],
    ],
    [
      [9, 1, 2],
      [5, 3],
    ],
    [[1], [5]],
    [[2, 1], [5]],
    [[1, 2, 9], [5]],
  ])('ban the last token of several behind the others: %j', (generated, banned) => {
    expect(rules({ badWords }, generated).next().banned).toEqual(banned);
  });
});

describe('a thinking budget', () => {
  const thinking = { open: [10, 11], close: [20, 21], isOpen: false, tokens: 2 };
  const forced = (isOpen: boolean, generated: number[], grammar?: Int32Array) =>
    tokensIn(rules({ thinking: { ...thinking, isOpen } }, generated).next(grammar).allowed);

  it.each([
    [false, [1, 2, 3, 4], undefined],
    [false, [10, 11, 1], undefined],
    [false, [10, 11, 1, 2], [20]],
    [false, [10, 11, 1, 2, 20], [21]],
    [false, [10, 11, 1, 2, 20, 21], undefined],
    [false, [10, 11, 1, 2, 20, 21, 3, 4, 5], undefined],
    [false, [10, 11, 20, 21, 1, 2, 3], undefined],
    [true, [1], undefined],
    [true, [1, 2], [20]],
    [true, [20, 21, 1, 2, 3], undefined],
  ])('open at first: %j, then %j: forces %j', (isOpen, generated, expected) => {
    expect(forced(isOpen, generated)).toEqual(expected);
  });

  it('of nothing ends thinking at once', () => {
    const none = rules({ thinking: { ...thinking, isOpen: true, tokens: 0 } });
    expect(tokensIn(none.next().allowed)).toEqual([20]);
  });

  it('gives way to a grammar', () => {
    expect(forced(true, [1, 2], mask(20, 30))).toEqual([20]);
    expect(forced(true, [1, 2], mask(30))).toEqual([30]);
  });
});
