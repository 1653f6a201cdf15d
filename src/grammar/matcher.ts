import type { CompiledGrammar, GrammarMatcher } from '@mlc-ai/web-xgrammar';
import type { GrammarText } from './grammar.js';
import { CountedString, hasToken, StringTokens } from './json-string.js';
import { SYMBOL_START } from './length-symbols.js';
import { continuationMasks } from './utf8.js';
import type { PackedVocabulary } from './vocabulary.js';
import type { XGrammar } from './xgrammar.js';

/** Which tokens a text may go on with, as it grows. */
export interface Matcher {
  /**
   * Writes a bit for each token that may come next.
   * @returns false when there is none
   */
  fill(words: Int32Array): Promise<boolean>;
  /**
   * @param token of the mask that was filled last
   * @throws Error when the token is not one that may come next
   */
  accept(token: number): void;
  dispose(): void;
}

/** Makes matchers over a vocabulary. */
export function matchersFor(xgrammar: XGrammar, vocabulary: PackedVocabulary) {
  const { bytes, ends } = vocabulary;
  const continuations = continuationMasks(vocabulary);
  const tokens = new StringTokens(vocabulary);
  const symbolStarts = Array.from(ends.keys()).filter((token) => {
    const begin = token === 0 ? 0 : ends[token - 1]!;
    return begin < ends[token]! && bytes[begin] === SYMBOL_START;
  });

  return async (grammar: CompiledGrammar, lengths: GrammarText['lengths'] = []): Promise<Matcher> => {
    if (lengths.length > 0) tokens.prepare();
    return new MaskingMatcher({
      matcher: await xgrammar.api.GrammarMatcher.createGrammarMatcher(grammar),
      vocabSize: ends.length,
      lengths,
      tokens,
      symbolStarts,
      narrowedAfter: (token) => continuations.get(bytes[ends[token]! - 1]!),
    });
  };
}

interface MatcherParts {
  matcher: GrammarMatcher;
  vocabSize: number;
  lengths: GrammarText['lengths'];
  tokens: StringTokens;
  /** The model's tokens that begin as symbols do. */
  symbolStarts: readonly number[];
  /** The tokens that may follow a token, if its last byte says so. */
  narrowedAfter(token: number): Int32Array | undefined;
}

class MaskingMatcher implements Matcher {
  private readonly parts: MatcherParts;
  /** What the grammar allows. */
  private allowed: Int32Array = new Int32Array();
  /** A string that may begin here, and the token that stands for all of it in the grammar. */
  private beginning: { string: CountedString; symbol: number } | undefined;
  /** The string that this is in the middle of. */
  private inside: CountedString | undefined;
  private isAllowedKnown = false;
  private narrowed: Int32Array | undefined;

  constructor(parts: MatcherParts) {
    this.parts = parts;
  }

  async fill(words: Int32Array): Promise<boolean> {
    const { matcher, vocabSize } = this.parts;
    if (!this.isAllowedKnown) this.allowed = await matcher.getNextTokenBitmask();
    this.isAllowedKnown = true;
    if (this.inside === undefined) {
      words.set(this.allowed.subarray(0, words.length));
      // Of the last word, only some bits are tokens of the model.
      words[words.length - 1]! &= -1 >>> (-vocabSize & 31);
      this.beginning = this.stringHere();
      if (this.beginning !== undefined) {
        for (const token of this.parts.symbolStarts) words[token >> 5]! &= ~(1 << (token & 31));
        this.beginning.string.addContent(words);
      }
    } else {
      words.fill(0);
      this.inside.addContent(words);
      this.inside.addClosing(words, this.allowed);
    }
    if (this.narrowed !== undefined) for (let i = 0; i < words.length; i++) words[i]! &= this.narrowed[i]!;
    return words.some((word) => word !== 0);
  }

  accept(token: number): void {
    // What the grammar itself allows comes first; each way has an end.
    if (this.beginning !== undefined && !hasToken(this.allowed, token)) {
      this.advance(this.beginning.symbol);
      this.inside = this.beginning.string;
    }
    this.beginning = undefined;
    if (this.inside === undefined) this.advance(token);
    else {
      const rest = this.inside.accept(token);
      if (rest !== undefined) {
        this.inside = undefined;
        this.advance(rest);
      }
    }
    this.narrowed = this.parts.narrowedAfter(token);
  }

  dispose(): void {
    this.parts.matcher.dispose();
  }

  private advance(token: number): void {
    if (!this.parts.matcher.acceptToken(token)) throw new Error(`token ${token} is not in the grammar`);
    this.isAllowedKnown = false;
  }

  private stringHere(): { string: CountedString; symbol: number } | undefined {
    const { lengths, tokens, vocabSize } = this.parts;
    // Where the symbol of no string may stand, anything may.
    if (lengths.length === 0 || hasToken(this.allowed, vocabSize)) return undefined;
    const index = lengths.findIndex((_, i) => hasToken(this.allowed, vocabSize + 1 + i));
    if (index < 0) return undefined;
    return { string: new CountedString(tokens, lengths[index]!), symbol: vocabSize + 1 + index };
  }
}
