import type { Context } from 'hono';
import type { EmbeddingRequest, Embeddings } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { callerOf } from '../limits/index.js';

/** Has serving compute embeddings, and counts them in the metrics: each text as a choice. */
export async function embed(
  { serving, metrics, drain, limits }: ApiContext,
  request: EmbeddingRequest,
  c: Context,
): Promise<Embeddings> {
  const { signal, client, timeoutMs } = callerOf(c);
  const allowed = await limits.begin(client ?? '');
  const ending = new AbortController();
  let leave = (): void => {};
  const timer = metrics.startRequest(request.prompts.length);
  try {
    leave = drain.begin(() => ending.abort());
    const onCounted = (tokens: number) => allowed.charge(tokens);
    const asked = { ...request, tenant: client, timeoutMs, onCounted };
    const embeddings = await serving.embed(asked, AbortSignal.any([signal, ending.signal]));
    for (const _ of request.prompts) timer.finish('stop');
    timer.end();
    allowed.end(embeddings.promptTokens);
    for (const [name, value] of Object.entries(allowed.headers())) c.header(name, value);
    return embeddings;
  } catch (error) {
    allowed.end(0);
    // What was refused has not begun.
    if (signal.aborted || ending.signal.aborted) timer.end();
    drain.checkEnded();
    throw error;
  } finally {
    leave();
  }
}
