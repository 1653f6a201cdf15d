import { randomUUID } from 'node:crypto';
import { createServing } from '../serving/index.js';
import type { AnswerOptions, ChatBackend, ChatTurn } from './chat-backend.js';
import { showLoading } from './loading.js';

/**
 * Loads a model for this process alone, without a server, and shows how far it is.
 *
 * @param model as for `quire serve`; left out: the default model
 * @throws why the model cannot be loaded
 */
export async function runInProcess(model: string | undefined): Promise<ChatBackend> {
  const serving = createServing({ model, maxNumSeqs: 1 });

  async function answer(messages: readonly ChatTurn[], { temperature, maxTokens, signal, onText }: AnswerOptions) {
    const generation = await serving.generate(
      {
        id: `chat-${randomUUID()}`,
        prompt: { kind: 'chat', messages: messages.map((turn) => ({ ...turn })) },
        sampling: { temperature, ...(maxTokens === undefined ? {} : { maxTokens }) },
      },
      signal,
    );
    for await (const event of generation.events) {
      if (event.type === 'delta') onText(event.text);
      else if (event.reason === 'error') throw new Error(engineFailure());
    }
    signal.throwIfAborted();
    return { completionTokens: generation.usage().completionTokens };
  }

  function engineFailure(): string {
    const state = serving.state();
    return state.state === 'failed' ? state.message : 'the engine gave up on this answer';
  }

  try {
    await showLoading(serving);
  } catch (error) {
    await serving.close();
    throw error;
  }
  return { model: serving.resolveModel(undefined).id, answer, close: () => serving.close() };
}
