import { z } from '@hono/zod-openapi';
import type { GenerationRequest } from '../../serving/index.js';
import { boundedArray } from '../openai/bounded-array.js';
import { MAX_LOGPROBS, refuseFields } from '../openai/schemas.js';

const MAX_STOP_STRINGS = 64;
const fixed = 'Accepted, without effect: chosen when the server starts.';

export const Options = z
  .looseObject({
    temperature: z.number().min(0).nullish().describe('Default 0.8; 0 is greedy.'),
    top_k: z.int().nullish().describe('Default 40; 0 or less: all.'),
    top_p: z.number().gt(0).max(1).nullish().describe('Default 0.9.'),
    min_p: z.number().min(0).max(1).nullish(),
    typical_p: z.number().gt(0).max(1).nullish(),
    repeat_penalty: z.number().gt(0).nullish().describe('Over prompt and answer, whatever `repeat_last_n` says.'),
    repeat_last_n: z.int().min(-1).nullish().describe('0 switches penalties off; all other values mean: everything.'),
    presence_penalty: z.number().min(-2).max(2).nullish(),
    frequency_penalty: z.number().min(-2).max(2).nullish(),
    seed: z.int().nullish().describe('Negative: a random one.'),
    num_predict: z.int().nullish().describe('Most tokens to generate; 0 or less: as many as fit.'),
    stop: z
      .union([z.string().min(1), boundedArray(z.string().min(1), { max: MAX_STOP_STRINGS })], {
        error: `must be a string or a list of up to ${MAX_STOP_STRINGS} strings`,
      })
      .nullish(),
    num_ctx: z.int().nullish().describe(fixed),
    num_batch: z.int().nullish().describe(fixed),
    num_thread: z.int().nullish().describe(fixed),
    num_gpu: z.int().nullish().describe(fixed),
    num_keep: z.int().nullish().describe('Accepted, without effect: prompts are never cut.'),
  })
  .superRefine(refuseFields({ mirostat: [0], tfs_z: [1], penalize_newline: [true] }))
  .openapi('OllamaOptions');

/** Fields of both ways to generate. */
export const generationFields = {
  model: z.string().min(1).describe('Name of a served model, with or without the tag `latest`.'),
  stream: z.boolean().nullish().describe('Answer line by line while tokens are generated (default true).'),
  format: z
    .union([z.literal(''), z.literal('json'), z.record(z.string(), z.unknown())], {
      error: 'must be "json" or a JSON schema',
    })
    .nullish()
    .describe('`json`, or the JSON schema that the answer matches.'),
  options: Options.nullish(),
  think: z
    .union([z.boolean(), z.enum(['low', 'medium', 'high', 'max'])], {
      error: 'must be true, false, "low", "medium", "high" or "max"',
    })
    .nullish()
    .describe('Handed to the chat template as `enable_thinking`, a level as `reasoning_effort` too.'),
  keep_alive: z
    .union([z.string(), z.number()])
    .nullish()
    .describe('Accepted, without effect: models stay loaded as long as the server runs.'),
  logprobs: z.boolean().nullish().describe('Return the log-probabilities of the chosen tokens.'),
  top_logprobs: z.int().min(0).max(MAX_LOGPROBS).nullish().describe('Alternatives to return for each token.'),
  truncate: z.boolean().nullish().describe('Accepted, without effect: a prompt that is too long is refused.'),
  shift: z.boolean().nullish().describe('Accepted, without effect: an answer ends where the context is full.'),
};

export type GenerationFields = z.infer<z.ZodObject<typeof generationFields>>;

/** The part of a generation request that both ways to generate share. */
export function toGenerationOptions(body: GenerationFields) {
  const { format } = body;
  const options = body.options ?? {};
  const penalised = options.repeat_last_n !== 0;
  return {
    stop: typeof options.stop === 'string' ? [options.stop] : (options.stop ?? undefined),
    structuredOutput: toStructuredOutput(format),
    sampling: {
      // Ollama's own defaults: its clients count on them.
      temperature: options.temperature ?? 0.8,
      topK: Math.max(options.top_k ?? 40, 0),
      topP: options.top_p ?? 0.9,
      minP: options.min_p ?? undefined,
      typicalP: options.typical_p ?? undefined,
      repetitionPenalty: penalised ? (options.repeat_penalty ?? undefined) : undefined,
      presencePenalty: penalised ? (options.presence_penalty ?? undefined) : undefined,
      frequencyPenalty: penalised ? (options.frequency_penalty ?? undefined) : undefined,
      seed: options.seed == null || options.seed < 0 ? undefined : options.seed,
      maxTokens: options.num_predict == null || options.num_predict < 1 ? undefined : options.num_predict,
      logprobs: body.logprobs ? (body.top_logprobs ?? 0) : null,
    },
  } satisfies Partial<GenerationRequest>;
}

function toStructuredOutput(format: GenerationFields['format']): GenerationRequest['structuredOutput'] {
  if (format == null || format === '') return undefined;
  return format === 'json'
    ? { kind: 'json_object' }
    : { kind: 'json_schema', schema: format, strict: true, param: 'format' };
}

export function toTemplateArguments({ think }: GenerationFields): Record<string, unknown> | undefined {
  if (think == null) return undefined;
  return { enable_thinking: think !== false, ...(typeof think === 'string' && { reasoning_effort: think }) };
}
