import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import { tgiErrors } from './errors.js';
import { MAX_STOP_STRINGS } from './schemas.js';

const Info = z
  .object({
    model_id: z.string(),
    model_sha: z.null(),
    model_pipeline_tag: z.literal('text-generation'),
    max_concurrent_requests: z.int().describe('Sequences that run at a time; more of them wait.'),
    max_best_of: z.literal(1),
    max_stop_sequences: z.int(),
    max_input_tokens: z.int(),
    max_total_tokens: z.int(),
    router: z.literal('quire'),
  })
  .openapi('TgiInfo');

const route = createRoute({
  method: 'get',
  path: '/info',
  summary: 'Describe the server (TGI)',
  responses: {
    200: { description: 'Model and limits.', content: { 'application/json': { schema: Info } } },
    401: tgiErrors[401],
    503: tgiErrors[503],
  },
});

/** `GET /info`. */
export function info({ serving }: ApiContext): OpenAPIHono {
  return new OpenAPIHono().openapi(route, (c) => {
    const { id, maxModelLen, info } = serving.resolveModel(undefined);
    return c.json(
      {
        model_id: id,
        model_sha: null,
        model_pipeline_tag: 'text-generation' as const,
        max_concurrent_requests: info.maxNumSeqs,
        max_best_of: 1 as const,
        max_stop_sequences: MAX_STOP_STRINGS,
        // One is left for the answer.
        max_input_tokens: maxModelLen - 1,
        max_total_tokens: maxModelLen,
        router: 'quire' as const,
      },
      200,
    );
  });
}
