import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { GenerationRequest, Prompt } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { answerHead } from './answer-head.js';
import { type ChunkWriter, chunkWriter } from './chunks.js';
import { Completion, type CompletionBody, CompletionRequest, type WirePrompt } from './completion-schemas.js';
import { toCompletionLogprobs, toPromptLogprobs } from './logprobs.js';
import { toGenerationOptions } from './sampling.js';
import { errorResponses } from './schemas.js';
import { type EventWriter, streamEvents } from './sse.js';
import { type Choice, collect, submit, toWireFinish } from './submission.js';
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
    const submission = await submit(context, requests, body.best_of ?? n, c.req.raw.signal);

    const head = answerHead(id, 'text_completion', submission.model);
    const echoes = prompts.flatMap((prompt) => new Array<string>(n).fill(echo(prompt, body)));
    const withLogprobs = body.logprobs != null;
    if (body.stream) {
      const chunk = chunkWriter(head, body.stream_options ?? {}, submission.usage);
      return streamEvents(c, submission, chunkEvents(chunk, echoes, withLogprobs), context.logger);
    }
    const choices = bestOf(await collect(submission), body.best_of ?? n, n);
    const usage = toWireUsage(submission.usage());
    const ofPrompts = submission.promptLogprobs().map((tokens) => tokens && toPromptLogprobs(tokens));
    const toWire = toWireChoice(echoes, withLogprobs);
    const withPrompts = choices.map((choice, i) => {
      const prompt = ofPrompts[Math.floor(i / n)];
      return { ...toWire(choice), ...(prompt !== undefined && { prompt_logprobs: prompt }) };
    });
    return c.json({ ...head, choices: withPrompts, usage }, 200);
  });
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
  const logprobs = body.logprobs ?? (n > (body.n ?? 1) ? 0 : null);
  return {
    ...options,
    id,
    prompt,
    n,
    sampling: {
      ...options.sampling,
      maxTokens: body.max_tokens ?? DEFAULT_MAX_TOKENS,
      logprobs,
    },
  };
}

/** What the text of every choice of this prompt begins with. */
function echo(prompt: Prompt, body: CompletionBody): string {
  if (!body.echo) return '';
  return prompt.kind === 'text' ? prompt.text : prompt.kind === 'fill' ? prompt.prefix : '';
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

/** @param echoes Text that a choice begins with, by index. */
function toWireChoice(echoes: readonly string[], withLogprobs: boolean) {
  return ({ text, tokens, end }: Choice) => ({
    text: echoes[end.choice] + text,
    index: end.choice,
    logprobs: withLogprobs ? toCompletionLogprobs(tokens, 0).logprobs : null,
    ...toWireFinish(end),
  });
}

/** @param echoes Text that a choice begins with, by index. */
function chunkEvents(chunk: ChunkWriter, echoes: readonly string[], withLogprobs: boolean): EventWriter {
  const begun = new Set<number>();
  const offsets = new Array<number>(echoes.length).fill(0);

  function begin(index: number): string {
    if (begun.has(index)) return '';
    begun.add(index);
    return echoes[index] as string;
  }

  return {
    event(event) {
      const index = event.choice;
      if (event.type === 'finish') {
        const finish = JSON.stringify(toWireFinish(event)).slice(1);
        return chunk.choice(`{"text":${JSON.stringify(begin(index))},"index":${index},"logprobs":null,${finish}`);
      }
      const text = begin(index) + event.text;
      if (text === '' && event.tokens.length === 0) return '';
      let logprobs = 'null';
      if (withLogprobs) {
        const part = toCompletionLogprobs(event.tokens, offsets[index] as number);
        offsets[index] = part.offset;
        logprobs = JSON.stringify(part.logprobs);
      }
      return chunk.choice(
        `{"text":${JSON.stringify(text)},"index":${index},"logprobs":${logprobs},"finish_reason":null}`,
      );
    },
    end: chunk.end,
  };
}
