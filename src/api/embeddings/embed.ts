import type { EmbeddingRequest, Embeddings } from '../../serving/index.js';
import type { ApiContext } from '../context.js';

/** Has serving compute embeddings, and counts them in the metrics: each text as a choice. */
export async function embed(
  { serving, metrics, drain }: ApiContext,
  request: EmbeddingRequest,
  signal: AbortSignal,
): Promise<Embeddings> {
  const ending = new AbortController();
  const leave = drain.begin(() => ending.abort());
  const timer = metrics.startRequest(request.prompts.length);
  try {
    const embeddings = await serving.embed(request, AbortSignal.any([signal, ending.signal]));
    for (const _ of request.prompts) timer.finish('stop');
    timer.end();
    return embeddings;
  } catch (error) {
    // What was refused has not begun.
    if (signal.aborted || ending.signal.aborted) timer.end();
    drain.checkEnded();
    throw error;
  } finally {
    leave();
  }
}
