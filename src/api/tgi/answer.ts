import type { GeneratedToken, Usage } from '../../serving/index.js';
import { finite } from '../openai/logprobs.js';
import { sseEvent } from '../openai/sse.js';
import type { Choice, ChoiceEnd } from '../openai/submission.js';
import type { EventWriter } from '../stream.js';
import { createTokenTexts, type TokenText } from '../token-texts.js';
import type { GenerateJob } from './request.js';
import type { WireAnswer, WireFinishReason } from './schemas.js';

export function wholeAnswer({ inputs, parameters, seed }: GenerateJob, choice: Choice, usage: Usage): WireAnswer {
  const { text, tokens, end } = choice;
  const generated_text = parameters.return_full_text ? inputs + text : text;
  if (!parameters.details) return { generated_text };
  return {
    generated_text,
    details: {
      finish_reason: toFinishReason(end),
      generated_tokens: usage.completionTokens,
      seed,
      prefill: [],
      tokens: createTokenTexts()(text, tokens),
      ...(parameters.top_n_tokens && { top_tokens: tokens.map(toTopTokens) }),
    },
  };
}

export function toFinishReason({ reason, stopReason }: ChoiceEnd): WireFinishReason {
  if (reason === 'length') return 'length';
  return typeof stopReason === 'string' ? 'stop_sequence' : 'eos_token';
}

/** Which of the tokens that were not chosen are special is not known here. */
function toTopTokens({ top }: GeneratedToken): TokenText[] {
  return top.map(({ tokenId, token, logprob }) => ({
    id: tokenId,
    text: token,
    logprob: finite(logprob),
    special: false,
  }));
}

/**
 * Events of a stream, one for each token; the last one has the whole text, too. A token's event is held back until it is
 * certain whether it is the last.
 *
 * @param usage Running totals.
 */
export function tokenEvents(job: GenerateJob, usage: () => Usage): EventWriter {
  const { inputs, parameters, seed } = job;
  const toTexts = createTokenTexts();
  let text = '';
  let index = 0;
  let held: object | undefined;

  function toEvent(token: TokenText, generated: GeneratedToken): object {
    index += 1;
    return { index, token, ...(parameters.top_n_tokens && { top_tokens: toTopTokens(generated) }) };
  }

  function release(generated_text: string | null, details: object | null): string {
    if (held === undefined) return '';
    const event = sseEvent(JSON.stringify({ ...held, generated_text, details }));
    held = undefined;
    return event;
  }

  return {
    event(event) {
      if (event.type === 'finish') {
        const { promptTokens, completionTokens } = usage();
        return release(parameters.return_full_text ? inputs + text : text, {
          finish_reason: toFinishReason(event),
          generated_tokens: completionTokens,
          seed,
          input_length: promptTokens,
        });
      }
      text += event.text;
      let written = '';
      toTexts(event.text, event.tokens).forEach((token, i) => {
        written += release(null, null);
        held = toEvent(token, event.tokens[i]!);
      });
      return written;
    },
    end: () => '',
  };
}
