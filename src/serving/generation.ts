import { setMaxListeners } from 'node:events';
import type { EngineEvent, EngineRequest, TokenLogprobs } from '../engine/protocol.js';
import type { Admission, Visit } from './admission/index.js';
import {
  type ChoiceOutput,
  createChoiceOutput,
  describeToken,
  type OutputDelta,
  type OutputMarkup,
} from './choice-output.js';
import type { EngineClient } from './engines/index.js';
import { RequestError, RequestFailedError } from './errors.js';
import { createEventQueue } from './event-queue.js';
import type { OutputFormat, ParsedText, Tokenizer } from './text/index.js';
import type { Generation, GenerationFinish, GenerationRequest, PromptToken, ServedModel, Usage } from './types.js';

/** What a generation runs on. */
export interface GenerationModel {
  served: ServedModel;
  engine: EngineClient;
  admission?: Admission;
  tokenizer: Tokenizer;
  format?: OutputFormat;
}

/**
 * Hands a request to the engine and turns what comes back into events of text. Stop strings are found here, as the
 * engine knows no text: the choice is then aborted in the engine, and tokens it still had on the way are dropped.
 *
 * @param rendered The prompt of a chat as text.
 * @param signal Aborts the generation, waiting or running.
 * @throws EngineUnavailableError when the engine takes no requests, OverloadedError when too many wait.
 */
export function startGeneration(
  model: GenerationModel,
  request: GenerationRequest,
  engineRequest: EngineRequest,
  rendered: string,
  signal?: AbortSignal,
): Generation {
  const { engine, tokenizer } = model;
  const { id, sampling, promptTokenIds } = engineRequest;
  const queue = createEventQueue();
  /** The choices that have not finished. */
  const open = new Map<number, ChoiceOutput>();
  for (let choice = 0; choice < engineRequest.n; choice += 1) {
    open.set(choice, createChoiceOutput(tokenizer, request, sampling, outputMarkup(model, request, rendered)));
  }
  /** Choices with a tool call. */
  const calling = new Set<number>();
  let promptTokens: (PromptToken | null)[] | undefined;
  let visit: Visit | undefined;
  const usage: Usage = {
    promptTokens: promptTokenIds.length,
    cachedTokens: 0,
    completionTokens: 0,
    reasoningTokens: 0,
  };

  function finish(
    choice: number,
    reason: GenerationFinish['reason'],
    stopReason: GenerationFinish['stopReason'],
  ): void {
    queue.finish(choice, reason === 'stop' && calling.has(choice) ? 'tool_calls' : reason, stopReason);
    open.delete(choice);
    if (open.size === 0) end();
  }

  function end(error?: Error): void {
    open.clear();
    visit?.over();
    signal?.removeEventListener('abort', abort);
    queue.end(error);
  }

  function abort(): void {
    if (open.size === 0) return;
    engine.abort(id);
    for (const choice of [...open.keys()]) finish(choice, 'abort', null);
  }

  function fail(error: Error): void {
    if (open.size === 0) return;
    engine.abort(id);
    end(error);
  }

  /** Tokens of each choice since it last said something. */
  const silent = new Map<number, number>();

  /** Tokens that say nothing by themselves count with what is said next. */
  function countReasoning(choice: number, { text, reasoning, toolCalls }: ParsedText): void {
    if (text === '' && reasoning === '' && toolCalls.length === 0) return;
    if (reasoning !== '') usage.reasoningTokens += silent.get(choice) ?? 0;
    silent.delete(choice);
  }

  /** Whether the choice goes on. */
  function giveOut(choice: number, { stop, ...delta }: OutputDelta): boolean {
    countReasoning(choice, delta);
    if (delta.toolCalls.length > 0) calling.add(choice);
    queue.push(choice, delta);
    if (stop !== undefined) finish(choice, 'stop', stop);
    return stop === undefined;
  }

  function onEvent(event: EngineEvent): void {
    switch (event.type) {
      case 'admitted':
        visit?.begun();
        break;
      case 'promptLogprobs':
        promptTokens = describePrompt(tokenizer, promptTokenIds, event.logprobs);
        break;
      case 'started':
        usage.cachedTokens = event.cachedTokens;
        break;
      case 'token': {
        const output = open.get(event.choice);
        if (output === undefined) break;
        usage.completionTokens += 1;
        silent.set(event.choice, (silent.get(event.choice) ?? 0) + 1);
        const goesOn = giveOut(event.choice, output.push(event.token, event.logprobs));
        if (!goesOn) engine.abort(id, event.choice);
        break;
      }
      case 'finished': {
        const output = open.get(event.choice);
        if (output === undefined) break;
        if (event.message !== undefined) {
          end(new RequestFailedError(event.message));
          break;
        }
        const goesOn = giveOut(event.choice, output.finish());
        if (goesOn) finish(event.choice, event.reason, stopReasonOf(event.stopToken));
        break;
      }
      case 'rejected':
        end(new RequestError(event.message));
        break;
    }
  }

  function stopReasonOf(stopToken: number | undefined): number | null {
    if (stopToken === undefined) return null;
    const isModelsOwn = !sampling.ignoreEos && tokenizer.vocabulary.isEndOfGeneration(stopToken);
    return isModelsOwn ? null : stopToken;
  }

  const { timeoutMs, followsOn } = request;
  const { tenant, priority } = engineRequest;
  const tokens = mostTokens(engineRequest);
  visit = model.admission?.enter({ tenant, priority, tokens, timeoutMs, followsOn }, fail);
  try {
    engine.submit(engineRequest, (events) => {
      for (const event of events) onEvent(event);
      queue.wake();
    });
  } catch (error) {
    visit?.over();
    throw error;
  }
  // One signal may belong to any number of prompts, which is not the leak that Node would warn of.
  if (signal !== undefined) setMaxListeners(0, signal);
  signal?.addEventListener('abort', abort);
  if (signal?.aborted) abort();

  return {
    id,
    model: model.served,
    promptTokenIds,
    events: queue.read(abort),
    promptLogprobs: () => promptTokens,
    usage: () => ({ ...usage }),
    abort,
  };
}

/** Of the prompt and all of its choices. */
function mostTokens({ promptTokenIds, sampling, n }: EngineRequest): number {
  return promptTokenIds.length + sampling.maxTokens * n;
}

/** @param logprobs of each token but the first */
function describePrompt(tokenizer: Tokenizer, prompt: Int32Array, logprobs: readonly TokenLogprobs[]) {
  return Array.from(prompt, (token, i) => {
    const likelihood = logprobs[i - 1];
    return likelihood ? { ...describeToken(tokenizer, token, likelihood), rank: likelihood.rank } : null;
  });
}

/** How answers to a chat are taken apart; undefined where all of them is text. */
function outputMarkup(
  { format, tokenizer }: GenerationModel,
  { prompt, tools, separateReasoning = true }: GenerationRequest,
  rendered: string,
): OutputMarkup | undefined {
  if (format === undefined || prompt.kind !== 'chat') return undefined;
  const callable = tools === undefined || tools.choice === 'none' ? [] : tools.definitions;
  return {
    parser: format.createParser({ tools: callable, separateReasoning, promptEnd: rendered }),
    tokens: new Set(format.markupTokens.flatMap((text) => tokenizer.specialToken(text) ?? [])),
  };
}
