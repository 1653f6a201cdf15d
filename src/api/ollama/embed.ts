import { randomUUID } from 'node:crypto';
import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import { embed as computeEmbeddings } from '../embeddings/embed.js';
import { boundedArray } from '../openai/bounded-array.js';
import { MAX_ITEMS } from '../openai/schemas.js';
import { ollamaErrors } from './errors.js';
import { servedName } from './model-name.js';

const keepAlive = z.union([z.string(), z.number()]).nullish().describe('Accepted, without effect: see `/api/chat`.');
const options = z.looseObject({}).nullish().describe('Accepted, without effect: none of them is about vectors.');

const EmbedRequest = z
  .looseObject({
    model: z.string().min(1),
    input: z.union([z.string(), boundedArray(z.string(), { max: MAX_ITEMS })], {
      error: `must be a string or a list of up to ${MAX_ITEMS} strings`,
    }),
    truncate: z.boolean().nullish().describe('Leave out what the model cannot take (default true).'),
    dimensions: z.int().min(1).nullish().describe('Keep so many numbers of each vector.'),
    keep_alive: keepAlive,
    options,
  })
  .openapi('OllamaEmbedRequest');

const EmbedAnswer = z
  .object({
    model: z.string(),
    embeddings: z.array(z.array(z.number())).describe('Vectors of length 1.'),
    total_duration: z.int().describe('Nanoseconds.'),
    load_duration: z.int(),
    prompt_eval_count: z.int(),
  })
  .openapi('OllamaEmbedAnswer');

const EmbeddingsRequest = z
  .looseObject({ model: z.string().min(1), prompt: z.string(), keep_alive: keepAlive, options })
  .openapi('OllamaEmbeddingsRequest');

const EmbeddingsAnswer = z.object({ embedding: z.array(z.number()) }).openapi('OllamaEmbeddingsAnswer');

const embedRoute = createRoute({
  method: 'post',
  path: '/api/embed',
  summary: 'Turn texts into vectors (Ollama)',
  request: { body: { required: true, content: { 'application/json': { schema: EmbedRequest } } } },
  responses: {
    200: { description: 'A vector for each text.', content: { 'application/json': { schema: EmbedAnswer } } },
    ...ollamaErrors,
  },
});

const embeddingsRoute = createRoute({
  method: 'post',
  path: '/api/embeddings',
  summary: 'Turn a text into a vector (Ollama, older)',
  request: { body: { required: true, content: { 'application/json': { schema: EmbeddingsRequest } } } },
  responses: {
    200: { description: 'Its vector.', content: { 'application/json': { schema: EmbeddingsAnswer } } },
    ...ollamaErrors,
  },
});

/** As much as the model can take, in `truncatePromptTokens`. */
const WHAT_FITS = -1;

/** `POST /api/embed`, and `/api/embeddings` before it, whose vector has the length that the model gave it. */
export function embed(context: ApiContext): OpenAPIHono {
  const { serving } = context;
  const app = new OpenAPIHono();
  app.openapi(embedRoute, async (c) => {
    const start = performance.now();
    const { model, input, truncate, dimensions } = c.req.valid('json');
    const texts = [input].flat();
    const { vectors, promptTokens } =
      texts.length === 0
        ? { vectors: [], promptTokens: 0 }
        : await computeEmbeddings(
            context,
            {
              id: `ollama-${randomUUID()}`,
              model: servedName(serving, model),
              prompts: texts.map((text) => ({ kind: 'text', text })),
              field: (index) => (typeof input === 'string' ? 'input' : `input[${index}]`),
              dimensions: dimensions ?? undefined,
              truncatePromptTokens: truncate === false ? undefined : WHAT_FITS,
            },
            c,
          );
    const answer = {
      model,
      embeddings: vectors.map((vector) => Array.from(vector)),
      total_duration: Math.round((performance.now() - start) * 1e6),
      load_duration: 0,
      prompt_eval_count: promptTokens,
    };
    return c.json(answer, 200);
  });
  app.openapi(embeddingsRoute, async (c) => {
    const { model, prompt } = c.req.valid('json');
    if (prompt === '') return c.json({ embedding: [] }, 200);
    const { vectors } = await computeEmbeddings(
      context,
      {
        id: `ollama-${randomUUID()}`,
        model: servedName(serving, model),
        prompts: [{ kind: 'text', text: prompt }],
        field: () => 'prompt',
        normalize: false,
        truncatePromptTokens: WHAT_FITS,
      },
      c,
    );
    return c.json({ embedding: Array.from(vectors[0]!) }, 200);
  });
  return app;
}
