import { decodeUtf8, type Tokenizer } from './tokenizer.js';

/**
 * Turns generated tokens into text as they come. A character may span tokens: its bytes are held back until it is
 * complete, so no text given out is ever taken back. The texts of all `push` calls and of `flush` together equal the
 * UTF-8 text of all the tokens' bytes at once.
 *
 * The space with which many SentencePiece tokens begin is kept, also on the first token: generated text continues
 * the prompt, and only a text's very first token has a space that the tokeniser put there itself.
 */
export interface Detokenizer {
  /** The text that `token` completes; may be empty. */
  push(token: number): string;
  /** Whether bytes of an incomplete character are held back. */
  readonly pending: boolean;
  /** What is held back, as U+FFFD, since nothing will complete it. */
  flush(): string;
}

/**
 * @param keepSpecialTokens Render special tokens; else they leave no trace in the text.
 * @param kept Special tokens to render in any case.
 */
export function createDetokenizer(
  tokenizer: Tokenizer,
  keepSpecialTokens: boolean,
  kept: ReadonlySet<number> = new Set(),
): Detokenizer {
  let held: Uint8Array = new Uint8Array(0);

  return {
    push(token) {
      const piece = tokenizer.piece(token, keepSpecialTokens || kept.has(token));
      if (held.length === 0 && piece.complete) return piece.text;
      const bytes = held.length === 0 ? piece.bytes : Buffer.concat([held, piece.bytes]);
      const whole = bytes.length - incompleteTail(bytes);
      held = bytes.subarray(whole);
      return decodeUtf8(bytes.subarray(0, whole));
    },

    get pending() {
      return held.length > 0;
    },

    flush() {
      const text = decodeUtf8(held);
      held = new Uint8Array(0);
      return text;
    },
  };
}

/** Text of tokens that are all there, special ones included. */
export function decodeTokens(tokenizer: Tokenizer, tokenIds: Iterable<number>): string {
  const bytes = Array.from(tokenIds, (token) => tokenizer.piece(token, true).bytes);
  return decodeUtf8(Buffer.concat(bytes));
}

/**
 * Length in bytes, 0 to 3, of a character that begins at the end of `bytes` and needs more bytes. A decoder always
 * starts anew at a lead byte, so cutting before one never changes the text, whatever comes before and after.
 */
function incompleteTail(bytes: Uint8Array): number {
  for (let length = 1; length <= 3 && length <= bytes.length; length += 1) {
    const byte = bytes[bytes.length - length]!;
    const isContinuation = (byte & 0xc0) === 0x80;
    if (!isContinuation) return characterLength(byte) > length ? length : 0;
  }
  return 0;
}

function characterLength(leadByte: number): number {
  if (leadByte >= 0xf0) return leadByte <= 0xf4 ? 4 : 1;
  if (leadByte >= 0xe0) return 3;
  return leadByte >= 0xc2 ? 2 : 1;
}
