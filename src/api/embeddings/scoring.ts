import { randomUUID } from 'node:crypto';
import { OpenAPIHono, type z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import type { ApiContext } from '../context.js';
import { jsonRoute } from '../openai/json-route.js';
import { embed } from './embed.js';
import { toPromptUsage } from './embeddings.js';
import { RerankRequest, RerankResponse, ScoreRequest, ScoreResponse } from './schemas.js';

/** Where these routes are; vLLM's, Jina's, Cohere's and llama-server's clients ask for the same at different ones. */
const RERANK_PATHS = ['/v1/rerank', '/rerank', '/v2/rerank'];
const SCORE_PATHS = ['/v1/score', '/score'];

/** Those that are outside of `/v1`. */
export const SCORING_PATHS = [...RERANK_PATHS, ...SCORE_PATHS].filter((path) => !path.startsWith('/v1/'));

/**
 * `POST /rerank`, as Jina and Cohere have it, and `POST /score`, as vLLM has it. Scores are the cosines between
 * embeddings, as vLLM computes them with models that are no cross-encoders.
 */
export function scoring(context: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  for (const path of RERANK_PATHS) {
    const rerankRoute = jsonRoute(
      path,
      'Order documents by how close they are to a query',
      RerankRequest,
      RerankResponse,
    );
    app.openapi(rerankRoute, async (c) => c.json(await rerank(context, c.req.valid('json'), c), 200));
  }
  for (const path of SCORE_PATHS) {
    const scoreRoute = jsonRoute(path, 'Compare texts', ScoreRequest, ScoreResponse);
    app.openapi(scoreRoute, async (c) => c.json(await score(context, c.req.valid('json'), c), 200));
  }
  return app;
}

type ScoringBody = Pick<z.infer<typeof ScoreRequest>, 'model' | 'truncate_prompt_tokens' | 'pooling' | 'priority'>;

interface Texts {
  texts: readonly string[];
  /** The request field of a text. */
  field(index: number): string;
}

function embedTexts(context: ApiContext, id: string, body: ScoringBody, { texts, field }: Texts, c: Context) {
  return embed(
    context,
    {
      model: body.model ?? undefined,
      id,
      prompts: texts.map((text) => ({ kind: 'text', text })),
      field,
      pooling: body.pooling ?? undefined,
      truncatePromptTokens: body.truncate_prompt_tokens ?? undefined,
      priority: body.priority ?? undefined,
    },
    c,
  );
}

async function rerank(
  context: ApiContext,
  body: z.infer<typeof RerankRequest>,
  c: Context,
): Promise<z.infer<typeof RerankResponse>> {
  const id = newId('rerank');
  const documents = (body.documents ?? body.texts ?? []).map((item) => (typeof item === 'string' ? item : item.text));
  const field = (index: number) => (index === 0 ? 'query' : `${body.texts ? 'texts' : 'documents'}[${index - 1}]`);
  const texts = [body.query, ...documents];
  const { model, vectors, promptTokens } = await embedTexts(context, id, body, { texts, field }, c);
  const [query, ...others] = vectors as [Float32Array, ...Float32Array[]];
  const ranked = others
    .map((vector, index) => ({ index, score: dot(query, vector), text: documents[index] as string }))
    .sort((a, b) => b.score - a.score)
    .slice(0, body.top_n || documents.length);

  if (body.texts != null) {
    return ranked.map(({ index, score, text }) => ({ index, score, ...(body.return_text && { text }) }));
  }
  const withDocuments = body.return_documents ?? true;
  return {
    id,
    object: 'list',
    model: model.id,
    results: ranked.map(({ index, score, text }) => ({
      index,
      relevance_score: score,
      ...(withDocuments && { document: { text } }),
    })),
    usage: toPromptUsage(promptTokens),
  };
}

async function score(
  context: ApiContext,
  body: z.infer<typeof ScoreRequest>,
  c: Context,
): Promise<z.infer<typeof ScoreResponse>> {
  const id = newId('score');
  const first = [body.text_1].flat();
  const second = [body.text_2].flat();
  const field = (index: number) => (index < first.length ? 'text_1' : 'text_2');
  const texts = [...first, ...second];
  const { model, vectors, promptTokens } = await embedTexts(context, id, body, { texts, field }, c);
  return {
    id,
    object: 'list',
    created: Math.floor(Date.now() / 1000),
    model: model.id,
    data: second.map((_, index) => {
      const a = vectors[first.length === 1 ? 0 : index] as Float32Array;
      const b = vectors[first.length + index] as Float32Array;
      return { index, object: 'score', score: dot(a, b) };
    }),
    usage: toPromptUsage(promptTokens),
  };
}

/** The cosine, of vectors of length 1. */
function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * (b[i] as number), 0);
}

function newId(kind: string): string {
  return `${kind}-${randomUUID().replaceAll('-', '')}`;
}
