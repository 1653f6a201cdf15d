import type { GeneratedToken, PromptToken, TokenLogprob } from '../../serving/index.js';

/** JSON has no -Infinity; this is what OpenAI and vLLM send for it. */
const LEAST_LOGPROB = -9999;

export function finite(logprob: number): number {
  return Math.max(logprob, LEAST_LOGPROB);
}

function toWireToken({ token, logprob, bytes }: TokenLogprob) {
  return { token, logprob: finite(logprob), bytes };
}

/** `logprobs` of a chat choice or chunk. */
export function toChatLogprobs(tokens: readonly GeneratedToken[]) {
  const content = tokens.map((token) => ({ ...toWireToken(token), top_logprobs: token.top.map(toWireToken) }));
  return { content, refusal: null };
}

/** vLLM's `prompt_logprobs`: for each token of the prompt, by token id, the likeliest ones and itself; null for the first. */
export function toPromptLogprobs(tokens: readonly (PromptToken | null)[]) {
  return tokens.map((token) => {
    if (token === null) return null;
    const ranked = [...token.top.map((other, i) => ({ ...other, rank: i + 1 })), token];
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
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  text_offset: number[];
}

/**
 * @param offset Characters (code points) of the choice's text before these tokens.
 * @returns The lists, and the offset after these tokens.
 */
export function toCompletionLogprobs(
  tokens: readonly GeneratedToken[],
  offset: number,
): { logprobs: CompletionLogprobs; offset: number } {
  const logprobs: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
  let end = offset;
  for (const token of tokens) {
    logprobs.tokens.push(token.token);
    logprobs.token_logprobs.push(finite(token.logprob));
    logprobs.top_logprobs.push(toTopLogprobs(token));
    logprobs.text_offset.push(end);
    end += [...token.token].length;
  }
  return { logprobs, offset: end };
}

/** The likeliest tokens and the chosen one: up to k + 1 entries, as OpenAI documents it. */
function toTopLogprobs(token: GeneratedToken): Record<string, number> {
  const top: Record<string, number> = Object.create(null);
  for (const candidate of [...token.top, token]) {
    // Several tokens may look alike (parts of a character do); the likeliest comes first and keeps the name.
    top[candidate.token] ??= finite(candidate.logprob);
  }
  return top;
}
