import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDetokenizer } from '../../src/serving/text/detokenizer.js';
import { createTokenizer } from '../../src/serving/text/tokenizer.js';
import { createFakeVocabulary, EOS, IM_START } from '../support/fake-vocabulary.js';

const tokenizer = createTokenizer(createFakeVocabulary());

/** A tokeniser whose token i is the i-th of these pieces. */
function tokenizerOf(pieces: readonly Uint8Array[]) {
  return createTokenizer({ ...createFakeVocabulary(), size: pieces.length, pieceBytes: (token) => pieces[token]! });
}

function wholeText(pieces: readonly Uint8Array[]): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(pieces));
}

/** Bytes that are often, but not always, the lead or the middle of a character. */
const trickyByte = fc
  .constantFrom(0x00, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xc2, 0xe0, 0xe2, 0x82, 0xac, 0xed, 0xa0, 0xef, 0xbb)
  .map((byte) => byte);
const trickyBytes = fc.array(fc.oneof(trickyByte, fc.constantFrom(0xf0, 0x9f, 0x98, 0x80, 0xf4, 0x8f, 0xf5, 0xff)), {
  maxLength: 6,
});

describe('the detokenizer', () => {
  it('gives the text of all bytes at once, for any bytes cut into any tokens', () => {
    fc.assert(
      fc.property(
        fc.array(
          trickyBytes.map((bytes) => Uint8Array.from(bytes)),
          { minLength: 1, maxLength: 8 },
        ),
        (pieces) => {
          const detokenizer = createDetokenizer(tokenizerOf(pieces), false);
          const text = pieces.map((_, token) => detokenizer.push(token)).join('') + detokenizer.flush();
          expect(text).toBe(wholeText(pieces));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('gives out every character as soon as it is complete and never a part of one', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 20 }), (text) => {
        const detokenizer = createDetokenizer(tokenizer, false);
        for (const character of text) {
          const bytes = [...Buffer.from(character)];
          const texts = bytes.map((byte) => detokenizer.push(byte));
          expect(texts.slice(0, -1).join('')).toBe('');
          expect(texts.at(-1)).toBe(character);
          expect(detokenizer.pending).toBe(false);
        }
      }),
    );
  });

  it('tells that bytes are held back, and flushes them as one replacement character', () => {
    const detokenizer = createDetokenizer(tokenizer, false);
    expect([0xf0, 0x9f, 0x98].map((byte) => detokenizer.push(byte))).toEqual(['', '', '']);
    expect(detokenizer.pending).toBe(true);
    expect(detokenizer.flush()).toBe('\ufffd');
    expect(detokenizer.pending).toBe(false);
    expect(detokenizer.flush()).toBe('');
  });

  it('keeps a byte order mark', () => {
    const detokenizer = createDetokenizer(tokenizer, false);
    expect([0xef, 0xbb, 0xbf, 0x41].map((byte) => detokenizer.push(byte)).join('')).toBe('\ufeffA');
  });

  it('leaves special tokens out unless they are to be kept', () => {
    const tokens = [IM_START, 65, EOS];
    const skipping = createDetokenizer(tokenizer, false);
    const keeping = createDetokenizer(tokenizer, true);
    expect(tokens.map((token) => skipping.push(token)).join('')).toBe('A');
    expect(tokens.map((token) => keeping.push(token)).join('')).toBe('<|im_start|>A</s>');
  });

  it('asks the vocabulary for the bytes of a token only once', () => {
    const asked: number[] = [];
    const vocabulary = createFakeVocabulary();
    const counting = createTokenizer({
      ...vocabulary,
      pieceBytes(token, special) {
        asked.push(token);
        return vocabulary.pieceBytes(token, special);
      },
    });
    for (let request = 0; request < 3; request += 1) {
      const detokenizer = createDetokenizer(counting, false);
      for (const token of [72, 105, 72]) detokenizer.push(token);
    }
    expect(asked).toEqual([72, 105]);
  });
});
