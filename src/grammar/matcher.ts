import type { CompiledGrammar, GrammarMatcher } from '@mlc-ai/web-xgrammar';
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
  /** @throws Error when the token is not one that may come next */
  accept(token: number): void;
  dispose(): void;
}

/** Makes matchers over a vocabulary. */
export function matchersFor(xgrammar: XGrammar, vocabulary: PackedVocabulary) {
  const { bytes, ends } = vocabulary;
  const continuations = continuationMasks(vocabulary);
  /** Of the last word of a mask, only some bits are tokens. */
  const lastWord = -1 >>> (-ends.length & 31);

  return async (grammar: CompiledGrammar): Promise<Matcher> => {
    const matcher: GrammarMatcher = await xgrammar.api.GrammarMatcher.createGrammarMatcher(grammar);
    let continuation: Int32Array | undefined;
    return {
      async fill(words) {
        words.set(await matcher.getNextTokenBitmask());
        words[words.length - 1]! &= lastWord;
        if (continuation !== undefined) for (let i = 0; i < words.length; i++) words[i]! &= continuation[i]!;
        return words.some((word) => word !== 0);
      },
      accept(token) {
        if (!matcher.acceptToken(token)) throw new Error(`token ${token} is not in the grammar`);
        continuation = continuations.get(bytes[ends[token]! - 1]!);
      },
      dispose: () => matcher.dispose(),
    };
  };
}
