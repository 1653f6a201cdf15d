import type { GeneratedToken } from '../serving/index.js';
import { finite } from './openai/logprobs.js';

/** A token with the text that it added to the answer. */
export interface TokenText {
  id: number;
  /** All tokens' texts together, special ones left out, are the answer; '' while a character is incomplete. */
  text: string;
  logprob: number;
  /** Not part of the answer: an end of text, for example. */
  special: boolean;
}

/**
 * Tells how much of a choice's text came from which token, for protocols that stream tokens. Takes the text and tokens of
 * its deltas in order; text may be ahead of tokens.
 */
export function createTokenTexts(): (text: string, tokens: readonly GeneratedToken[]) => TokenText[] {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let ahead = '';

  function textOf({ token, bytes }: GeneratedToken): { text: string; special: boolean } {
    const text = decoder.decode(Uint8Array.from(bytes), { stream: true });
    if (ahead.startsWith(text)) {
      ahead = ahead.slice(text.length);
      return { text, special: false };
    }
    // A stop string ends the text within a token; and bytes that are no UTF-8 may be told in several ways.
    if (ahead !== '' && (text.startsWith(ahead) || text.includes('\ufffd'))) {
      const rest = ahead;
      ahead = '';
      return { text: rest, special: false };
    }
    return { text: token, special: true };
  }

  return (text, tokens) => {
    ahead += text;
    return tokens.map((token) => ({ id: token.tokenId, logprob: finite(token.logprob), ...textOf(token) }));
  };
}
