import type { EmbeddingRequest, Embeddings } from '../../serving/index.js';
import type { ApiContext } from '../context.js';

/** Has serving compute embeddings, and counts them in the metrics: each text as a choice. */
export async function embed(
  { serving, metrics }: ApiContext,
  request: EmbeddingRequest,
  signal: AbortSignal,
): Promise<Embeddings> {
  const timer = metrics.startRequest(request.prompts.length);
  try {
    const embeddings = await serving.embed(request, signal);
    for (const _ of request.prompts) timer.finish('stop');
    timer.end();
    return embeddings;
  } catch (error) {
    // What was refused has not begun.
    if (signal.aborted) timer.end();
    throw error;
  }
}
