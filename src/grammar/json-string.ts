import { mayBeUtf8 } from './utf8.js';
import type { PackedVocabulary } from './vocabulary.js';

/** Where a JSON string is between two bytes. */
const BETWEEN_CHARACTERS = 0;
// 1 to 3: so many bytes of a character are still to come.
const AFTER_BACKSLASH = 4;
const NO_DIGIT = 5;
const DIGIT_D = 6;
const ONE_DIGIT = 7;
const TWO_DIGITS = 8;
const THREE_DIGITS = 9;
const CLOSED = 10;
const WRONG = 11;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const ESCAPES = new Set([...'"\\/bfnrt'].map((char) => char.charCodeAt(0)));

/** Escapes of half a surrogate pair are wrong, so that each escape is one character. */
function stateAfter(state: number, byte: number): number {
  switch (state) {
    case BETWEEN_CHARACTERS:
      if (byte === QUOTE) return CLOSED;
      if (byte === BACKSLASH) return AFTER_BACKSLASH;
      if (byte < 0x80) return byte < 0x20 ? WRONG : BETWEEN_CHARACTERS;
      if (byte < 0xc2 || byte > 0xf4) return WRONG;
      return byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    case AFTER_BACKSLASH:
      return ESCAPES.has(byte) ? BETWEEN_CHARACTERS : byte === 0x75 ? NO_DIGIT : WRONG;
    case NO_DIGIT:
      return !isHexDigit(byte) ? WRONG : (byte | 0x20) === 0x64 ? DIGIT_D : ONE_DIGIT;
    case DIGIT_D:
      return byte >= 0x30 && byte <= 0x37 ? TWO_DIGITS : WRONG;
    case ONE_DIGIT:
    case TWO_DIGITS:
      return isHexDigit(byte) ? state + 1 : WRONG;
    case THREE_DIGITS:
      return isHexDigit(byte) ? BETWEEN_CHARACTERS : WRONG;
    default:
      return (byte & 0xc0) === 0x80 ? state - 1 : WRONG;
  }
}

function isHexDigit(byte: number): boolean {
  const letter = byte | 0x20;
  return (byte >= 0x30 && byte <= 0x39) || (letter >= 0x61 && letter <= 0x66);
}

/** What the tokens of a vocabulary are to a string that is in one state. */
interface Roles {
  /** For each token that is content, how many characters it begins, and the state it leads to. */
  lengths: Uint8Array;
  states: Uint8Array;
  /** A bit for each token that is content. */
  mask: Int32Array;
  /** The same tokens, ascending by length. */
  byLength: Uint32Array;
  /** How many of them have at most so many characters. */
  upTo: Uint32Array;
  closing: readonly Closing[];
}

/** A token with a quote that ends the string. */
interface Closing {
  token: number;
  /** Characters before the quote. */
  length: number;
  /** The token that is the rest of it, from the quote on. */
  rest: number;
}

const MOST_CHARACTERS = 255;

/**
 * What the tokens of a vocabulary are within JSON strings. Worked out for each state when it is first met, which takes
 * 100 ms with 150,000 tokens.
 */
export class StringTokens {
  private readonly vocabulary: PackedVocabulary;
  private readonly known: Array<Roles | undefined> = [];
  private quoted: Map<string, number> | undefined;

  constructor(vocabulary: PackedVocabulary) {
    this.vocabulary = vocabulary;
  }

  /** Works out the state that all strings begin in, and most tokens lead to. */
  prepare(): void {
    this.in(BETWEEN_CHARACTERS);
  }

  in(state: number): Roles {
    this.known[state] ??= this.rolesIn(state);
    return this.known[state];
  }

  private rolesIn(from: number): Roles {
    const size = this.vocabulary.ends.length;
    const lengths = new Uint8Array(size);
    const states = new Uint8Array(size).fill(WRONG);
    const mask = new Int32Array(Math.ceil(size / 32));
    const counts = new Uint32Array(MOST_CHARACTERS + 1);
    const closing: Closing[] = [];
    for (let token = 0; token < size; token++) {
      const piece = this.piece(token);
      if (piece.length === 0 || !mayBeUtf8(piece)) continue;
      let [state, length, at] = [from, 0, 0];
      for (; at < piece.length && state < CLOSED; at++) {
        if (state === BETWEEN_CHARACTERS && piece[at] !== QUOTE) length++;
        state = stateAfter(state, piece[at]!);
      }
      if (state === WRONG || length > MOST_CHARACTERS) continue;
      if (state === CLOSED) {
        const rest = this.quotedToken(piece.subarray(at - 1));
        if (rest !== undefined) closing.push({ token, length, rest });
        continue;
      }
      lengths[token] = length;
      states[token] = state;
      mask[token >> 5]! |= 1 << (token & 31);
      counts[length]!++;
    }
    const upTo = counts.map(
      (
        (sum) => (count: number) =>
          (sum += count)
      )(0),
    );
    const byLength = new Uint32Array(upTo.at(-1)!);
    const next = upTo.map((count, length) => count - counts[length]!);
    for (let token = 0; token < size; token++) {
      if (states[token] !== WRONG) byLength[next[lengths[token]!]!++] = token;
    }
    return { lengths, states, mask, byLength, upTo, closing };
  }

  /** The token that has these bytes, which begin with a quote. */
  private quotedToken(bytes: Uint8Array): number | undefined {
    if (this.quoted === undefined) {
      this.quoted = new Map();
      for (let token = 0; token < this.vocabulary.ends.length; token++) {
        const piece = this.piece(token);
        if (piece[0] === QUOTE) this.quoted.set(Buffer.from(piece).toString('latin1'), token);
      }
    }
    return this.quoted.get(Buffer.from(bytes).toString('latin1'));
  }

  private piece(token: number): Uint8Array {
    const { bytes, ends } = this.vocabulary;
    return bytes.subarray(token === 0 ? 0 : ends[token - 1], ends[token]);
  }
}

/** Bounds of a number of characters: Unicode code points. */
export interface LengthBounds {
  least: number;
  /** Infinity: any number. */
  most: number;
}

/** The contents of a JSON string whose length is bounded, token by token. */
export class CountedString {
  private readonly tokens: StringTokens;
  private readonly bounds: LengthBounds;
  private length = 0;
  private state = BETWEEN_CHARACTERS;

  constructor(tokens: StringTokens, bounds: LengthBounds) {
    this.tokens = tokens;
    this.bounds = bounds;
  }

  /** Adds a bit to a mask for each token that is content and leaves room for what has to follow. */
  addContent(words: Int32Array): void {
    const { mask, byLength, upTo } = this.tokens.in(this.state);
    const fitting = upTo[Math.min(this.bounds.most - this.length, MOST_CHARACTERS)]!;
    if (fitting < byLength.length / 2) {
      for (let i = 0; i < fitting; i++) words[byLength[i]! >> 5]! |= 1 << (byLength[i]! & 31);
      return;
    }
    const content = mask.slice();
    for (let i = fitting; i < byLength.length; i++) content[byLength[i]! >> 5]! &= ~(1 << (byLength[i]! & 31));
    for (let i = 0; i < words.length; i++) words[i]! |= content[i]!;
  }

  /**
   * Adds a bit for each token that ends the string.
   * @param after a bit for each token that may come when the content is over, beginning with the closing quote
   */
  addClosing(words: Int32Array, after: Int32Array): void {
    const { least, most } = this.bounds;
    for (const { token, length, rest } of this.tokens.in(this.state).closing) {
      const all = this.length + length;
      if (all < least || all > most || !hasToken(after, rest)) continue;
      words[token >> 5]! |= 1 << (token & 31);
    }
  }

  /**
   * @param token one that was added to the last mask
   * @returns the token from the closing quote on, if this one has it
   */
  accept(token: number): number | undefined {
    const roles = this.tokens.in(this.state);
    if (roles.states[token] === WRONG) return roles.closing.find((closing) => closing.token === token)?.rest;
    this.length += roles.lengths[token]!;
    this.state = roles.states[token]!;
    return undefined;
  }
}

/** Whether a mask has a token's bit. */
export function hasToken(words: Int32Array, token: number): boolean {
  return ((words[token >> 5]! >>> (token & 31)) & 1) === 1;
}
