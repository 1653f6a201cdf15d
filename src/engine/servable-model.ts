import type { LlamaModel } from '../llama/index.js';

/** No KV backend can serve the model: it generates nothing, token after token. */
export class UnservableModelError extends Error {
  override readonly name = 'UnservableModelError';
  readonly hint = 'Take a decoder: a chat model, or an embedding model made from one, such as Qwen3-Embedding.';
}

/**
 * Encoders look at a whole text at once, also at what comes later.
 * @throws UnservableModelError for BERT and its kin, and for the encoders of T5
 */
export function checkServable(model: Pick<LlamaModel, 'metadata' | 'hasDecoder'>): void {
  const metadata = model.metadata();
  const architecture = metadata.get('general.architecture');
  if (model.hasDecoder && metadata.get(`${architecture}.attention.causal`) !== 'false') return;
  throw new UnservableModelError(`${architecture} models are encoders: they are not served`);
}
