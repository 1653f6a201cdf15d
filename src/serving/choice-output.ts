import type { SamplingParams, TokenLogprobs } from '../engine/protocol.js';
import { createDetokenizer } from './text/detokenizer.js';
import { createStopStringMatcher } from './text/stop-strings.js';
import type { Tokenizer } from './text/tokenizer.js';
import type { GeneratedToken, GenerationRequest, TokenLogprob } from './types.js';

/** What a token, or the end of generation, added to the output of a choice. */
export interface OutputDelta {
  text: string;
  /** Only when log-probabilities were asked for: the tokens whose text is now out, in order. */
  tokens: readonly GeneratedToken[];
  /** The stop string found in the text: the choice is at its end. */
  stop?: string;
}

/** One choice's way from tokens to text. */
export interface ChoiceOutput {
  push(token: number, logprobs: TokenLogprobs | undefined): OutputDelta;
  /** Everything held back, once the engine has ended the choice. */
  finish(): OutputDelta;
}

const NO_TOKENS: readonly GeneratedToken[] = [];

export function createChoiceOutput(
  tokenizer: Tokenizer,
  request: Pick<GenerationRequest, 'stop' | 'includeStopInOutput' | 'keepSpecialTokens'>,
  sampling: SamplingParams,
): ChoiceOutput {
  const { stop = [], includeStopInOutput = false, keepSpecialTokens = false } = request;
  const detokenizer = createDetokenizer(tokenizer, keepSpecialTokens);
  const matcher = createStopStringMatcher(stop, includeStopInOutput);
  const stopTokenIds = new Set(sampling.stopTokenIds);
  let generatedTokens = 0;

  // Where a token's text ends is counted in UTF-16 units of all text so far, given out or not.
  const waiting: Array<{ token: GeneratedToken; end: number }> = [];
  let decodedLength = 0;
  let givenLength = 0;

  function endsGeneration(token: number): boolean {
    return stopTokenIds.has(token) || (!sampling.ignoreEos && tokenizer.vocabulary.isEndOfGeneration(token));
  }

  /** Passes text on to the stop strings; text of the first `minTokens` tokens cannot contain one, as in vLLM. */
  function release(text: string): OutputDelta {
    decodedLength += text.length;
    const found = generatedTokens > sampling.minTokens ? matcher.push(text) : { text };
    givenLength += found.text.length;
    return { text: found.text, tokens: NO_TOKENS, stop: found.stop };
  }

  function takeTokens(all: boolean): GeneratedToken[] {
    let count = 0;
    while (count < waiting.length && (all || waiting[count]!.end <= givenLength)) count += 1;
    return waiting.splice(0, count).map(({ token }) => token);
  }

  return {
    push(token, logprobs) {
      generatedTokens += 1;
      // The token that ends a choice stands for the end, not for text.
      const hidden = endsGeneration(token) && !includeStopInOutput;
      const delta = release(hidden ? '' : detokenizer.push(token));
      if (logprobs !== undefined) {
        // A character that is still incomplete will add at least one unit.
        const end = decodedLength + (detokenizer.pending ? 1 : 0);
        waiting.push({ token: describeToken(tokenizer, token, logprobs), end });
        delta.tokens = takeTokens(delta.stop !== undefined);
      }
      return delta;
    },

    finish() {
      const delta = release(detokenizer.flush());
      if (delta.stop === undefined) delta.text += matcher.flush();
      delta.tokens = takeTokens(true);
      return delta;
    },
  };
}

function describeToken(tokenizer: Tokenizer, token: number, logprobs: TokenLogprobs): GeneratedToken {
  return {
    ...tokenLogprob(tokenizer, token, logprobs.logprob),
    top: logprobs.topTokens.map((other, index) => tokenLogprob(tokenizer, other, logprobs.topLogprobs[index]!)),
  };
}

function tokenLogprob(tokenizer: Tokenizer, tokenId: number, logprob: number): TokenLogprob {
  const piece = tokenizer.piece(tokenId, true);
  return { tokenId, token: piece.text, bytes: Array.from(piece.bytes), logprob };
}
