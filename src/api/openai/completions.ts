import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { GeneratedToken, GenerationRequest, Prompt, PromptToken } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { answerHead } from './answer-head.js';
import { type ChunkWriter, chunkWriter } from './chunks.js';
import { Completion, type CompletionBody, CompletionRequest, type WirePrompt } from './completion-schemas.js';
import {
  type CompletionLogprobs,
  joinLogprobs,
  type TokenName,
  toCompletionLogprobs,
  toEchoLogprobs,
  tokenName,
  toPromptLogprobs,
} from './logprobs.js';
import { toGenerationOptions } from './sampling.js';
import { errorResponses } from './schemas.js';
import { type EventWriter, streamEvents } from './sse.js';
import { type Choice, collect, type Submission, submit, toWireFinish } from './submission.js';
import { toWireUsage } from './usage.js';

/** OpenAI's and vLLM's; chat completions have none. */
const DEFAULT_MAX_TOKENS = 16;

const route = createRoute({
  method: 'post',
  path: '/completions',
  summary: 'Continue one or several prompts',
  request: { body: { required: true, content: { 'application/json': { schema: CompletionRequest } } } },
  responses: {
    200: {
      description: 'The answer; with `stream`, events of the same type without `usage`, and `[DONE]`.',
      content: { 'application/json': { schema: Completion }, 'text/event-stream': { schema: z.string() } },
    },
    ...errorResponses,
  },
});

/** `POST /completions`, field for field as OpenAI and its clients have it. */
export function completions(context: ApiContext): OpenAPIHono {
  return new OpenAPIHono().openapi(route, async (c) => {
    const body = c.req.valid('json');
    const id = `cmpl-${randomUUID().replaceAll('-', '')}`;
    const n = body.n ?? 1;
    const prompts = toPrompts(body.prompt, body.suffix || undefined);
    const requests = prompts.map((prompt, i) => toGenerationRequest(`${id}-${i}`, prompt, body));
    const generating = await submit(context, requests, body.best_of ?? n, c);
    const submission = body.max_tokens === 0 ? withoutAnswer(generating) : generating;

    const head = answerHead(id, 'text_completion', submission.model);
    const shape: AnswerShape = {
      logprobs: body.logprobs != null,
      tokenIds: body.return_token_ids === true,
      tokenName: tokenName(body),
      promptOf: promptParts(context, prompts, body, submission),
    };
    if (body.stream) {
      const chunk = chunkWriter(head, body.stream_options ?? {}, submission.usage);
      return streamEvents(c, submission, chunkEvents(chunk, submission.choices, shape), context.logger);
    }
    const choices = bestOf(await collect(submission), body.best_of ?? n, n);
    const usage = toWireUsage(submission.usage());
    return c.json({ ...head, choices: choices.map((choice) => toWireChoice(choice, shape)), usage }, 200);
  });
}

/** A client that asks for its prompt alone is not told of the one token that an engine generates at the least. */
function withoutAnswer(submission: Submission): Submission {
  return {
    ...submission,
    take(event) {
      const taken = submission.take(event);
      if (taken.type === 'finish') return { ...taken, reason: 'length', stopReason: null };
      return { ...taken, text: '', reasoning: '', toolCalls: [], tokens: [] };
    },
    usage: () => ({ ...submission.usage(), completionTokens: 0 }),
  };
}

/** What an answer shows of what was generated, and of the prompts. */
interface AnswerShape {
  logprobs: boolean;
  /** Token ids of prompt and answer. */
  tokenIds: boolean;
  tokenName: TokenName;
  /** What the choice with this index begins with; to be asked once its first event has come. */
  promptOf(index: number): PromptPart;
}

interface PromptPart {
  /** '' unless it is echoed. */
  text: string;
  /** Of the tokens of that text. */
  logprobs: CompletionLogprobs | undefined;
  /** Further fields of the choice. */
  fields: { prompt_logprobs?: ReturnType<typeof toPromptLogprobs>; prompt_token_ids?: number[] };
}

function promptParts(
  { serving }: ApiContext,
  prompts: readonly Prompt[],
  body: CompletionBody,
  submission: Submission,
): AnswerShape['promptOf'] {
  const textOf = (tokenIds: readonly number[]): string => serving.detokenize(body.model ?? undefined, tokenIds).text;

  function echo(prompt: Prompt): string {
    if (prompt.kind === 'tokens') return textOf(prompt.tokenIds);
    return prompt.kind === 'text' ? prompt.text : prompt.kind === 'fill' ? prompt.prefix : '';
  }

  function part(prompt: Prompt, i: number): PromptPart {
    const tokenIds = submission.promptTokenIds()[i]!;
    const known = submission.promptLogprobs()[i];
    const text = body.echo ? echo(prompt) : '';
    return {
      text,
      logprobs: body.echo && known ? ofEcho(tokenIds[0]!, known, text) : undefined,
      fields: {
        ...(body.prompt_logprobs != null &&
          known && { prompt_logprobs: toPromptLogprobs(known, body.prompt_logprobs) }),
        ...(body.return_token_ids && { prompt_token_ids: [...tokenIds] }),
      },
    };
  }

  function ofEcho(firstId: number, known: readonly (PromptToken | null)[], text: string): CompletionLogprobs {
    const first = { tokenId: firstId, token: textOf([firstId]) };
    return toEchoLogprobs(first, known, text, tokenName(body));
  }

  const made = new Map<number, PromptPart>();
  return (index) => {
    const i = Math.floor(index / (body.n ?? 1));
    const before = made.get(i);
    if (before !== undefined) return before;
    const fresh = part(prompts[i]!, i);
    made.set(i, fresh);
    return fresh;
  };
}

function toPrompts(prompt: WirePrompt, suffix?: string): Prompt[] {
  if (typeof prompt === 'string') {
    return [suffix === undefined ? { kind: 'text', text: prompt } : { kind: 'fill', prefix: prompt, suffix }];
  }
  if (typeof prompt[0] === 'number') return [{ kind: 'tokens', tokenIds: prompt as number[] }];
  return (prompt as string[] | number[][]).flatMap((one) => toPrompts(one, suffix));
}

function toGenerationRequest(id: string, prompt: Prompt, body: CompletionBody): GenerationRequest {
  const options = toGenerationOptions(body);
  const n = body.best_of ?? body.n ?? 1;
  // To find the best, tokens need their log-probabilities.
  const logprobs = body.logprobs ?? (n > (body.n ?? 1) || body.return_token_ids ? 0 : null);
  return {
    ...options,
    id,
    prompt,
    n,
    promptLogprobs: promptAlternatives(body),
    sampling: {
      ...options.sampling,
      maxTokens: mostTokens(body),
      logprobs,
    },
  };
}

/** Undefined: as many as fit. */
function mostTokens({ max_tokens, n_predict }: CompletionBody): number | undefined {
  if (max_tokens == null && n_predict != null && n_predict < 0) return undefined;
  return Math.max(1, max_tokens ?? n_predict ?? DEFAULT_MAX_TOKENS);
}

/** How many alternatives of each of the prompt's tokens are asked for; undefined: nothing of them. */
function promptAlternatives({ prompt_logprobs, echo, logprobs }: CompletionBody): number | undefined {
  const asked = [prompt_logprobs, echo ? logprobs : null].filter((count) => count != null);
  return asked.length === 0 ? undefined : Math.max(...asked);
}

/**
 * Of each prompt's `generated` choices the `n` with the highest mean log-probability, best first, which get the indices
 * that `n` choices for each prompt have.
 */
function bestOf(choices: Choice[], generated: number, n: number): Choice[] {
  if (generated === n) return choices;
  return Array.from({ length: choices.length / generated }, (_, prompt) =>
    choices
      .slice(prompt * generated, (prompt + 1) * generated)
      .sort((a, b) => meanLogprob(b) - meanLogprob(a))
      .slice(0, n)
      .map((choice, i) => ({ ...choice, end: { ...choice.end, choice: prompt * n + i } })),
  ).flat();
}

function meanLogprob({ tokens }: Choice): number {
  return tokens.reduce((sum, { logprob }) => sum + logprob, 0) / Math.max(1, tokens.length);
}

function toWireChoice({ text, tokens, end }: Choice, { logprobs, tokenIds, tokenName, promptOf }: AnswerShape) {
  const prompt = promptOf(end.choice);
  return {
    text: prompt.text + text,
    index: end.choice,
    logprobs: logprobs ? withEcho(prompt, tokens, tokenName) : null,
    ...toWireFinish(end),
    ...prompt.fields,
    ...(tokenIds && { token_ids: tokens.map(({ tokenId }) => tokenId) }),
  };
}

/** Log-probabilities of the prompt's tokens, where it is echoed, and of those that follow it. */
function withEcho({ text, logprobs }: PromptPart, tokens: readonly GeneratedToken[], name: TokenName) {
  const generated = toCompletionLogprobs(tokens, [...text].length, name).logprobs;
  return logprobs === undefined ? generated : joinLogprobs(logprobs, generated);
}

/** @param choices How many there are. */
function chunkEvents(chunk: ChunkWriter, choices: number, shape: AnswerShape): EventWriter {
  const begun = new Set<number>();
  const offsets = new Array<number>(choices).fill(0);

  /** The first event of a choice, where there is something before what was generated. */
  function begin(index: number): string {
    if (begun.has(index)) return '';
    begun.add(index);
    const { text, logprobs, fields } = shape.promptOf(index);
    offsets[index] = [...text].length;
    if (text === '' && Object.keys(fields).length === 0) return '';
    const more = JSON.stringify(fields).slice(1, -1);
    const shown = shape.logprobs && logprobs !== undefined ? JSON.stringify(logprobs) : 'null';
    return write(index, text, shown, `"finish_reason":null${more && `,${more}`}`);
  }

  function write(index: number, text: string, logprobs: string, rest: string): string {
    return chunk.choice(`{"text":${JSON.stringify(text)},"index":${index},"logprobs":${logprobs},${rest}}`);
  }

  return {
    event(event) {
      const index = event.choice;
      const before = begin(index);
      if (event.type === 'finish') {
        return before + write(index, '', 'null', JSON.stringify(toWireFinish(event)).slice(1, -1));
      }
      if (event.text === '' && event.tokens.length === 0) return before;
      let logprobs = 'null';
      if (shape.logprobs) {
        const part = toCompletionLogprobs(event.tokens, offsets[index] as number, shape.tokenName);
        offsets[index] = part.offset;
        logprobs = JSON.stringify(part.logprobs);
      }
      const ids = shape.tokenIds ? `,"token_ids":${JSON.stringify(event.tokens.map(({ tokenId }) => tokenId))}` : '';
      return before + write(index, event.text, logprobs, `"finish_reason":null${ids}`);
    },
    end: chunk.end,
  };
}
