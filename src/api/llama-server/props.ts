import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import { ApiError } from '../openai/errors.js';
import { toSettings } from './answer.js';
import { llamaServerErrors } from './errors.js';

const Props = z
  .object({
    default_generation_settings: z.object({ params: z.record(z.string(), z.unknown()), n_ctx: z.int() }),
    total_slots: z.int().describe('Sequences that can run at a time.'),
    model_alias: z.string(),
    model_path: z.string(),
    modalities: z.object({ vision: z.literal(false), audio: z.literal(false) }),
    build_info: z.string(),
  })
  .openapi('LlamaServerProps');

const Slot = z.object({ id: z.int(), n_ctx: z.int(), speculative: z.literal(false), is_processing: z.boolean() });

const propsRoute = createRoute({
  method: 'get',
  path: '/props',
  summary: 'Describe the server (llama-server)',
  responses: {
    200: { description: 'Its properties.', content: { 'application/json': { schema: Props } } },
    401: llamaServerErrors[401],
    503: llamaServerErrors[503],
  },
});

const slotsRoute = createRoute({
  method: 'get',
  path: '/slots',
  summary: 'Tell how many sequences run (llama-server)',
  request: { query: z.object({ fail_on_no_slot: z.string().optional().describe('Answer 503 when all are busy.') }) },
  responses: {
    200: {
      description: 'A slot for each sequence that can run.',
      content: { 'application/json': { schema: z.array(Slot) } },
    },
    401: llamaServerErrors[401],
    503: llamaServerErrors[503],
  },
});

/** `GET /props` and `GET /slots`, as far as there is something to tell. */
export function props({ serving }: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  app.openapi(propsRoute, (c) => {
    const { id, maxModelLen, info } = serving.resolveModel(undefined);
    const params = toSettings({ temperature: 0.8, topK: 40, topP: 0.95, minP: 0.05 });
    return c.json(
      {
        default_generation_settings: { params, n_ctx: maxModelLen },
        total_slots: info.maxNumSeqs,
        model_alias: id,
        model_path: info.modelPath,
        modalities: { vision: false as const, audio: false as const },
        build_info: 'quire',
      },
      200,
    );
  });
  app.openapi(slotsRoute, (c) => {
    const { maxModelLen, info } = serving.resolveModel(undefined);
    const running = serving.stats()?.runningSequences ?? 0;
    if (c.req.valid('query').fail_on_no_slot && running >= info.maxNumSeqs)
      throw new ApiError(503, 'No slot available.');
    const slots = Array.from({ length: info.maxNumSeqs }, (_, slot) => ({
      id: slot,
      n_ctx: maxModelLen,
      speculative: false as const,
      is_processing: slot < running,
    }));
    return c.json(slots, 200);
  });
  return app;
}
