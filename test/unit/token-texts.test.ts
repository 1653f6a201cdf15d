import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createTokenTexts } from '../../src/api/token-texts.js';
import type { GeneratedToken } from '../../src/serving/index.js';

const SPECIAL = '<|end|>';

function token(bytes: Uint8Array): GeneratedToken {
  return { tokenId: 1, token: Buffer.from(bytes).toString(), bytes: [...bytes], logprob: -1, top: [] };
}

/** A text whose bytes are cut anywhere, special tokens in between, handed over as serving does: text first. */
const answer = fc
  .tuple(
    fc.string({ unit: fc.constantFrom('a', ' ', 'é', '€', '👍', '\n'), minLength: 1 }),
    fc.array(fc.nat({ max: 4 })),
    fc.array(fc.nat({ max: 20 })),
  )
  .map(([text, sizes, specials]) => {
    const bytes = Buffer.from(text);
    const pieces: Uint8Array[] = [];
    for (let start = 0, i = 0; start < bytes.length; i += 1) {
      const size = 1 + (sizes[i] ?? 0);
      pieces.push(bytes.subarray(start, start + size));
      start += size;
    }
    // Models have special tokens between whole characters.
    const isBoundary = (i: number) =>
      Buffer.concat(pieces.slice(0, i)).toString() ===
      text.slice(0, Buffer.concat(pieces.slice(0, i)).toString().length);
    return { text, pieces, specialAt: new Set(specials.filter((i) => i < pieces.length && isBoundary(i))) };
  });

describe('texts of tokens', () => {
  test('are the answer together, however its bytes are cut and however deltas are merged', () => {
    fc.assert(
      fc.property(answer, fc.array(fc.boolean()), ({ text, pieces, specialAt }, merges) => {
        const toTexts = createTokenTexts();
        const decoder = new TextDecoder();
        const told: ReturnType<typeof toTexts> = [];
        let waiting: GeneratedToken[] = [];
        let said = '';
        pieces.forEach((piece, i) => {
          if (specialAt.has(i)) waiting.push(token(Buffer.from(SPECIAL)));
          waiting.push(token(piece));
          said += decoder.decode(piece, { stream: true });
          if (merges[i]) return;
          told.push(...toTexts(said, waiting));
          waiting = [];
          said = '';
        });
        told.push(...toTexts(said, waiting));
        expect(told.filter(({ special }) => !special).map((one) => one.text)).toHaveLength(pieces.length);
        expect(told.map((one) => (one.special ? '' : one.text)).join('')).toBe(text);
        expect(told.filter(({ special }) => special).map((one) => one.text)).toEqual([...specialAt].map(() => SPECIAL));
      }),
    );
  });

  test('may come after text that is not theirs', () => {
    const toTexts = createTokenTexts();
    expect(toTexts('ab', [])).toEqual([]);
    expect(toTexts('', [token(Buffer.from('ab'))])).toMatchObject([{ text: 'ab', special: false }]);
  });

  test('end where a stop string ended the text', () => {
    const toTexts = createTokenTexts();
    expect(toTexts('yes!', [token(Buffer.from('yes')), token(Buffer.from('!?'))])).toMatchObject([
      { text: 'yes', special: false },
      { text: '!', special: false },
    ]);
  });
});
