import { setMaxListeners } from 'node:events';
import type { EmbedRequest, EngineEvent, EngineInfo } from '../engine/protocol.js';
import type { Admission } from './admission/index.js';
import type { EngineClient } from './engines/index.js';
import { ContextLengthError, EngineUnavailableError, RequestError, RequestFailedError } from './errors.js';
import type { Backend } from './load-backend.js';
import { encodePrompt } from './text/index.js';
import type { EmbeddingRequest, Embeddings, ServedModel } from './types.js';

/**
 * Has the engine compute a vector for each prompt, all at once: the engine batches them.
 *
 * @throws RequestError, ContextLengthError, EngineUnavailableError, OverloadedError, DeadlineError
 */
export async function embedPrompts(
  { text, engine, admission }: Pick<Backend, 'text' | 'engine'> & { admission: Admission },
  served: ServedModel,
  request: EmbeddingRequest,
  signal?: AbortSignal,
): Promise<Embeddings> {
  const { info } = engine;
  const { id, prompts, pooling = info.pooling, normalize = true } = request;
  const { priority = 0, tenant = '', cacheSalt = '' } = request;
  const dimensions = checkDimensions(request.dimensions, info);
  const limit = checkTruncation(request.truncatePromptTokens, info);
  const requests = prompts.map((prompt, index): EmbedRequest => {
    const field = request.field(index);
    const { tokenIds } = encodePrompt(prompt, text, info.maxModelLen, undefined, field);
    const promptTokenIds = truncate(tokenIds, limit, text.tokenizer.vocabulary.eos);
    checkLength(promptTokenIds.length, info, field);
    return { id: `${id}-${index}`, promptTokenIds, pooling, priority, tenant, cacheSalt };
  });
  const promptTokens = requests.reduce((sum, { promptTokenIds }) => sum + promptTokenIds.length, 0);
  await request.onCounted?.(promptTokens, 0);

  const ended = new AbortController();
  const { timeoutMs } = request;
  const visit = admission.enter({ tenant, priority, timeoutMs, tokens: promptTokens }, (error) => ended.abort(error));
  let waiting = requests.length;
  const onAdmitted = (): void => {
    waiting -= 1;
    if (waiting === 0) visit.begun();
  };
  const vectors = await computeAll(engine, requests, anySignal(ended.signal, signal), onAdmitted)
    .catch((error) => {
      throw ended.signal.aborted ? ended.signal.reason : error;
    })
    .finally(() => visit.over());
  return {
    model: served,
    vectors: vectors.map((vector) => {
      const kept = vector.subarray(0, dimensions);
      return normalize ? normalized(kept) : kept;
    }),
    promptTokens,
  };
}

function checkDimensions(dimensions: number | undefined, { embeddingSize }: EngineInfo): number {
  if (dimensions === undefined) return embeddingSize;
  if (Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= embeddingSize) return dimensions;
  throw new RequestError(
    `dimensions must be a whole number from 1 to ${embeddingSize}, the length of this model's embeddings.`,
    { param: 'dimensions' },
  );
}

function checkTruncation(tokens: number | undefined, { maxModelLen }: EngineInfo): number {
  if (tokens === undefined) return Number.POSITIVE_INFINITY;
  if (tokens === -1) return maxModelLen;
  if (Number.isInteger(tokens) && tokens >= 1 && tokens <= maxModelLen) return tokens;
  throw new RequestError(
    `truncate_prompt_tokens must be -1 or from 1 to ${maxModelLen}, the model's maximum context length.`,
    { param: 'truncate_prompt_tokens' },
  );
}

/** An end of text that the model wants behind every text stays, as models that pool the last token count on it. */
function truncate(tokens: Int32Array, limit: number, endToken: number): Int32Array {
  if (tokens.length <= limit) return tokens;
  const kept = tokens.slice(0, limit);
  if (tokens.at(-1) === endToken) kept[limit - 1] = endToken;
  return kept;
}

function checkLength(length: number, { maxModelLen }: EngineInfo, field: string): void {
  if (length === 0) throw new RequestError(`${field} is empty: it has no tokens.`, { param: field });
  if (length <= maxModelLen) return;
  throw new ContextLengthError(
    `This model's maximum context length is ${maxModelLen} tokens. However, ${field} resulted in ${length} tokens. ` +
      'Please reduce its length, or set truncate_prompt_tokens to -1.',
    field,
  );
}

/** When one fails, the others are aborted. */
async function computeAll(
  engine: EngineClient,
  requests: readonly EmbedRequest[],
  signal: AbortSignal,
  onAdmitted: () => void,
): Promise<Float32Array[]> {
  const abort = (): void => {
    for (const { id } of requests) engine.abort(id);
  };
  signal.addEventListener('abort', abort);
  try {
    signal.throwIfAborted();
    return await Promise.all(requests.map((request) => compute(engine, request, onAdmitted)));
  } catch (error) {
    abort();
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** One signal may belong to any number of calls, which is not the leak that Node would warn of. */
function anySignal(own: AbortSignal, signal: AbortSignal | undefined): AbortSignal {
  if (signal === undefined) return own;
  setMaxListeners(0, signal);
  return AbortSignal.any([own, signal]);
}

function compute(engine: EngineClient, request: EmbedRequest, onAdmitted: () => void): Promise<Float32Array> {
  return new Promise((resolve, reject) => {
    const onEvent = (event: EngineEvent): void => {
      if (event.type === 'admitted') onAdmitted();
      if (event.type === 'embedding') resolve(event.vector);
      if (event.type === 'rejected') reject(new RequestError(event.message));
      // After a vector this changes nothing.
      if (event.type === 'finished') {
        const { message } = event;
        if (message !== undefined) reject(new RequestFailedError(message));
        reject(new EngineUnavailableError('The engine stopped before the embedding was computed. Try again.'));
      }
    };
    engine.embed(request, (events) => events.forEach(onEvent));
  });
}

/** The vector at length 1; one that is all zeros stays so. */
function normalized(vector: Float32Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  return length === 0 ? vector : vector.map((value) => value / length);
}
