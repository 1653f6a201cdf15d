import type { GeneratedToken, PromptToken, TokenLogprob } from '../../serving/index.js';
import type { TokenFields } from './schemas.js';

/** JSON has no -Infinity; this is what OpenAI and vLLM send for it. */
const LEAST_LOGPROB = -9999;

export function finite(logprob: number): number {
  return Math.max(logprob, LEAST_LOGPROB);
}

/** What a token is called in log-probabilities. */
export type TokenName = (token: Pick<TokenLogprob, 'tokenId' | 'token'>) => string;

/** Their text, or vLLM's way to write their id. */
export function tokenName({ return_tokens_as_token_ids }: TokenFields): TokenName {
  return return_tokens_as_token_ids ? ({ tokenId }) => `token_id:${tokenId}` : ({ token }) => token;
}

/** `logprobs` of a chat choice or chunk. */
export function toChatLogprobs(tokens: readonly GeneratedToken[], name: TokenName = tokenName({})) {
  const toWire = (token: TokenLogprob) => ({
    token: name(token),
    logprob: finite(token.logprob),
    bytes: token.bytes,
  });
  const content = tokens.map((token) => ({ ...toWire(token), top_logprobs: token.top.map(toWire) }));
  return { content, refusal: null };
}

/** vLLM's `prompt_logprobs`: for each token of the prompt, by token id, the likeliest ones and itself; null for the first. */
export function toPromptLogprobs(tokens: readonly (PromptToken | null)[], alternatives = Number.POSITIVE_INFINITY) {
  return tokens.map((token) => {
    if (token === null) return null;
    const ranked = [...token.top.slice(0, alternatives).map((other, i) => ({ ...other, rank: i + 1 })), token];
    return Object.fromEntries(
      ranked.map(({ tokenId, logprob, rank, token: text }) => [
        tokenId,
        { logprob: finite(logprob), rank, decoded_token: text },
      ]),
    );
  });
}

/** `logprobs` of a completion choice or chunk: parallel lists, one entry for each token. */
export interface CompletionLogprobs {
  tokens: string[];
  /** null: nothing comes before the token. */
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  text_offset: number[];
}

function noLogprobs(): CompletionLogprobs {
  return { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
}

/**
 * The same lists for the tokens of a prompt that the text begins with.
 * @param first The first token, of which nothing else is known.
 * @param text The prompt. Tokens that are not in it (BOS) take no place in it.
 */
export function toEchoLogprobs(
  first: Pick<TokenLogprob, 'tokenId' | 'token'>,
  prompt: readonly (PromptToken | null)[],
  text: string,
  name: TokenName,
): CompletionLogprobs {
  const logprobs = noLogprobs();
  let [at, offset] = [0, 0];
  for (const known of prompt) {
    const token = known ?? first;
    logprobs.tokens.push(name(token));
    logprobs.token_logprobs.push(known && finite(known.logprob));
    logprobs.top_logprobs.push(known && toTopLogprobs(known, name));
    logprobs.text_offset.push(offset);
    if (!text.startsWith(token.token, at)) continue;
    at += token.token.length;
    offset += [...token.token].length;
  }
  return logprobs;
}

/**
 * @param offset Characters (code points) of the choice's text before these tokens.
 * @returns The lists, and the offset after these tokens.
 */
export function toCompletionLogprobs(
  tokens: readonly GeneratedToken[],
  offset: number,
  name: TokenName,
): { logprobs: CompletionLogprobs; offset: number } {
  const logprobs = noLogprobs();
  let end = offset;
  for (const token of tokens) {
    logprobs.tokens.push(name(token));
    logprobs.token_logprobs.push(finite(token.logprob));
    logprobs.top_logprobs.push(toTopLogprobs(token, name));
    logprobs.text_offset.push(end);
    end += [...token.token].length;
  }
  return { logprobs, offset: end };
}

/** One after the other. */
export function joinLogprobs(a: CompletionLogprobs, b: CompletionLogprobs): CompletionLogprobs {
  return {
    tokens: [...a.tokens, ...b.tokens],
    token_logprobs: [...a.token_logprobs, ...b.token_logprobs],
    top_logprobs: [...a.top_logprobs, ...b.top_logprobs],
    text_offset: [...a.text_offset, ...b.text_offset],
  };
}

/** The likeliest tokens and the chosen one: up to k + 1 entries, as OpenAI documents it. */
function toTopLogprobs(token: GeneratedToken, name: TokenName): Record<string, number> {
  const top: Record<string, number> = Object.create(null);
  for (const candidate of [...token.top, token]) {
    // Several tokens may look alike (parts of a character do); the likeliest comes first and keeps the name.
    top[name(candidate)] ??= finite(candidate.logprob);
  }
  return top;
}
