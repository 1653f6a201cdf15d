import type { SamplingParams, TokenLogprobs } from '../engine/protocol.js';
import { createDetokenizer } from './text/detokenizer.js';
import type { OutputParser, ParsedText } from './text/output-format.js';
import { createStopStringMatcher, type StopStringResult } from './text/stop-strings.js';
import type { Tokenizer } from './text/tokenizer.js';
import type { GeneratedToken, GenerationRequest, TokenLogprob, ToolCallDelta } from './types.js';

/** What a token, or the end of generation, added to the output of a choice. */
export interface OutputDelta extends ParsedText {
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
const NO_CALLS: ToolCallDelta[] = [];

/** How the text of a choice is taken apart. */
export interface OutputMarkup {
  parser: OutputParser;
  /** Special tokens that have to be in the parser's text. */
  tokens: ReadonlySet<number>;
}

/** @param markup left out: all text is answer */
export function createChoiceOutput(
  tokenizer: Tokenizer,
  request: Pick<GenerationRequest, 'stop' | 'includeStopInOutput' | 'keepSpecialTokens'>,
  sampling: SamplingParams,
  markup?: OutputMarkup,
): ChoiceOutput {
  const { stop = [], includeStopInOutput = false, keepSpecialTokens = false } = request;
  const detokenizer = createDetokenizer(tokenizer, keepSpecialTokens, markup?.tokens);
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
  function release(text: string): StopStringResult {
    decodedLength += text.length;
    const found = generatedTokens > sampling.minTokens ? matcher.push(text) : { text };
    givenLength += found.text.length;
    return found;
  }

  function parse(text: string, isLast: boolean): ParsedText {
    if (markup === undefined) return { text, reasoning: '', toolCalls: NO_CALLS };
    const parsed = markup.parser.push(text);
    if (!isLast) return parsed;
    const rest = markup.parser.finish();
    return {
      text: parsed.text + rest.text,
      reasoning: parsed.reasoning + rest.reasoning,
      toolCalls: [...parsed.toolCalls, ...rest.toolCalls],
    };
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
      const { text, stop } = release(hidden ? '' : detokenizer.push(token));
      let tokens = NO_TOKENS;
      if (logprobs !== undefined) {
        // A character that is still incomplete will add at least one unit.
        const end = decodedLength + (detokenizer.pending ? 1 : 0);
        waiting.push({ token: describeToken(tokenizer, token, logprobs), end });
        tokens = takeTokens(stop !== undefined);
      }
      return { ...parse(text, stop !== undefined), tokens, stop };
    },

    finish() {
      const { text, stop } = release(detokenizer.flush());
      const rest = stop === undefined ? matcher.flush() : '';
      return { ...parse(text + rest, true), tokens: takeTokens(true), stop };
    },
  };
}

/** A token as clients see it. */
export function describeToken(tokenizer: Tokenizer, token: number, logprobs: TokenLogprobs): GeneratedToken {
  return {
    ...tokenLogprob(tokenizer, token, logprobs.logprob),
    top: logprobs.topTokens.map((other, index) => tokenLogprob(tokenizer, other, logprobs.topLogprobs[index]!)),
  };
}

function tokenLogprob(tokenizer: Tokenizer, tokenId: number, logprob: number): TokenLogprob {
  const piece = tokenizer.piece(tokenId, true);
  return { tokenId, token: piece.text, bytes: Array.from(piece.bytes), logprob };
}
