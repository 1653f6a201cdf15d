import { randomUUID } from 'node:crypto';
import type { SamplingParams } from '../engine/protocol.js';
import type { ServingParts } from './load-backend.js';
import type { ServingOptionsInput } from './options.js';
import { createServing, type LoadingServing } from './serving.js';
import type { ChatMessage, GeneratedToken, GenerationFinish, GenerationRequest, Prompt, Usage } from './types.js';

/** How to generate, for all prompts of a call. */
export type LlmSampling = Partial<SamplingParams> &
  Pick<GenerationRequest, 'stop' | 'includeStopInOutput' | 'keepSpecialTokens'>;

export interface LlmResult {
  text: string;
  finishReason: GenerationFinish['reason'];
  /** The stop string or token id that ended it, when it was not the model's own end token. */
  stopReason: string | number | null;
  usage: Usage;
  /** All generated tokens, when `logprobs` was asked for. */
  tokens: GeneratedToken[];
}

/**
 * Offline inference in this program, without a server: all prompts of a call are submitted at once, and continuous
 * batching does the rest.
 *
 * @example
 * await using llm = new LLM('smollm2');
 * const [answer] = await llm.chat([{ role: 'user', content: 'What is gravity?' }], { maxTokens: 64 });
 * console.log(answer.text);
 */
export class LLM {
  readonly #serving: LoadingServing;

  /**
   * Starts to load the model; the first call waits for it.
   * @param model As for `quire serve`: a GGUF file, hf:user/repo, a URL or a name; left out, the default model.
   * @throws ServingOptionsError
   */
  constructor(model?: string, options: Omit<ServingOptionsInput, 'model'> = {}, parts: Partial<ServingParts> = {}) {
    // All prompts of a call come at once.
    this.#serving = createServing({ model, maxQueuedRequests: 0, ...options }, parts);
  }

  /**
   * Continues each prompt; results are in the order of the prompts.
   * @throws RequestError when any prompt cannot be served (the others are then aborted), EngineUnavailableError, or why
   * the model could not be loaded.
   */
  generate(prompts: string | ReadonlyArray<string | Prompt>, sampling: LlmSampling = {}): Promise<LlmResult[]> {
    const list = typeof prompts === 'string' ? [prompts] : prompts;
    return this.#run(
      list.map((prompt) => (typeof prompt === 'string' ? { kind: 'text', text: prompt } : prompt)),
      sampling,
    );
  }

  /** Answers one conversation, or each of several, as {@link LLM.generate} does prompts. */
  chat(
    conversations: readonly ChatMessage[] | ReadonlyArray<readonly ChatMessage[]>,
    sampling: LlmSampling = {},
  ): Promise<LlmResult[]> {
    const list = isConversationList(conversations) ? conversations : [conversations];
    return this.#run(
      list.map((messages) => ({ kind: 'chat', messages })),
      sampling,
    );
  }

  /** Aborts what is running and ends the engine. */
  close(): Promise<void> {
    return this.#serving.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(prompts: readonly Prompt[], sampling: LlmSampling): Promise<LlmResult[]> {
    await this.#serving.whenReady();
    const { stop, includeStopInOutput, keepSpecialTokens, ...params } = sampling;
    const failed = new AbortController();
    try {
      return await Promise.all(
        prompts.map((prompt) =>
          this.#complete(
            { id: `llm-${randomUUID()}`, prompt, sampling: params, stop, includeStopInOutput, keepSpecialTokens },
            failed.signal,
          ),
        ),
      );
    } catch (error) {
      failed.abort();
      throw error;
    }
  }

  async #complete(request: GenerationRequest, signal: AbortSignal): Promise<LlmResult> {
    const generation = await this.#serving.generate(request, signal);
    const result = { text: '', tokens: [] as GeneratedToken[] };
    let end: Pick<LlmResult, 'finishReason' | 'stopReason'> | undefined;
    for await (const event of generation.events) {
      if (event.type === 'finish') {
        end = { finishReason: event.reason, stopReason: event.stopReason };
      } else {
        result.text += event.text;
        result.tokens.push(...event.tokens);
      }
    }
    return { ...result, ...end!, usage: generation.usage() };
  }
}

function isConversationList(
  conversations: readonly ChatMessage[] | ReadonlyArray<readonly ChatMessage[]>,
): conversations is ReadonlyArray<readonly ChatMessage[]> {
  return Array.isArray(conversations[0]);
}
