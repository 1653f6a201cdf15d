import { mayBeUtf8 } from './utf8.js';

/** What a grammar needs to know of a vocabulary; `LlamaVocab` of `src/llama` is one. */
export interface Vocabulary {
  readonly size: number;
  /** Bytes a token stands for; special tokens have none unless `special`. */
  pieceBytes(token: number, special: boolean): Uint8Array;
  isEndOfGeneration(token: number): boolean;
}

/** A vocabulary in a form that threads can hand to each other. */
export interface PackedVocabulary {
  /** The bytes of all tokens, one after the other; special tokens have none. */
  bytes: Uint8Array;
  /** Where each token's bytes end. */
  ends: Uint32Array;
  endTokens: readonly number[];
}

/** Looks at every token: some 100 ms for 150,000 of them. */
export function packVocabulary(vocabulary: Vocabulary): PackedVocabulary {
  const ends = new Uint32Array(vocabulary.size);
  const endTokens: number[] = [];
  let bytes = new Uint8Array(vocabulary.size * 8);
  let length = 0;
  for (let token = 0; token < vocabulary.size; token++) {
    const piece = vocabulary.pieceBytes(token, false);
    if (length + piece.length > bytes.length) {
      const larger = new Uint8Array(2 * bytes.length + piece.length);
      larger.set(bytes);
      bytes = larger;
    }
    bytes.set(piece, length);
    length += piece.length;
    ends[token] = length;
    if (vocabulary.isEndOfGeneration(token)) endTokens.push(token);
  }
  return { bytes: bytes.slice(0, length), ends, endTokens };
}

/**
 * The tokens as XGrammar's vocabulary type `byte_level` wants them: each byte as the character that GPT-2's tokeniser
 * writes it with. One way for every kind of tokeniser, since the bytes are known. A token without bytes, or with some that are part of no text, is '', which no
 * grammar allows.
 * @param texts Bytes of special tokens that shall stand for their text.
 */
export function byteLevelTokens(
  { bytes, ends }: PackedVocabulary,
  texts: ReadonlyMap<number, Uint8Array> = new Map(),
): string[] {
  return Array.from(ends, (end, token) => {
    const piece = texts.get(token) ?? bytes.subarray(token === 0 ? 0 : ends[token - 1], end);
    return mayBeUtf8(piece) ? byteLevelText(piece) : '';
  });
}

export function byteLevelText(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += BYTE_SYMBOLS[byte];
  return text;
}

/** Printable Latin-1 stands for itself; the other bytes, in order, for the characters from U+0100. */
const BYTE_SYMBOLS = ((): readonly string[] => {
  const isPrintable = (byte: number): boolean => (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad);
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : 0x100 + others++));
})();
