import { z } from '@hono/zod-openapi';
import { boundedArray } from '../openai/bounded-array.js';
import { CompletionRequest } from '../openai/completion-schemas.js';
import { MAX_ITEMS } from '../openai/schemas.js';

const commonFields = {
  model: z.string().nullish().describe('Name of a served model; left out: the default model.'),
  truncate_prompt_tokens: z
    .int()
    .min(-1)
    .nullish()
    .describe('Leave out what texts have beyond so many tokens; -1: what the model cannot take (vLLM).'),
  pooling: z
    .enum(['mean', 'last'])
    .nullish()
    .describe("How the tokens' hidden states become one vector; left out: as the model was trained."),
  priority: z.int().nullish().describe('Lower runs earlier.'),
  user: z.string().nullish().describe('Accepted, without effect.'),
};

/** For `superRefine`: refuses fields that would change the answer and are not supported. */
function refuse(fields: Record<string, string>) {
  return (body: Record<string, unknown>, context: z.RefinementCtx): void => {
    for (const [field, message] of Object.entries(fields)) {
      if (!Object.hasOwn(body, field) || body[field] == null) continue;
      context.addIssue({ code: 'custom', path: [field], message, params: { code: 'unsupported_parameter' } });
    }
  };
}

export const EmbeddingsRequest = z
  .looseObject({
    ...commonFields,
    input: CompletionRequest.shape.prompt.describe('One text or list of token ids, or a list of either.'),
    encoding_format: z.enum(['float', 'base64']).nullish().describe('Numbers, or little-endian float32 in base64.'),
    dimensions: z.int().min(1).nullish().describe('Keep so many numbers of each vector; at most what the model gives.'),
    normalize: z.boolean().nullish().describe('Make vectors of length 1 (default true).'),
    add_special_tokens: z.boolean().nullish().describe('Add BOS and the like to texts (default true).'),
  })
  .superRefine(
    refuse({
      messages: 'is not supported by this server: give texts as `input`',
      embd_normalize: 'is not supported by this server: use `normalize`',
    }),
  )
  .openapi('EmbeddingsRequest');

const PromptUsage = z.object({ prompt_tokens: z.int(), total_tokens: z.int() }).openapi('PromptUsage');

export const EmbeddingList = z
  .object({
    object: z.literal('list'),
    data: z.array(
      z.object({
        object: z.literal('embedding'),
        index: z.int(),
        embedding: z.union([z.array(z.number()), z.string()]),
      }),
    ),
    model: z.string(),
    usage: PromptUsage,
  })
  .openapi('EmbeddingList');

const Document = z.union([z.string(), z.looseObject({ text: z.string() })], {
  error: 'must be a string or an object with a `text`',
});

export const RerankRequest = z
  .looseObject({
    ...commonFields,
    query: z.string(),
    documents: boundedArray(Document, { min: 1, max: MAX_ITEMS }).nullish(),
    texts: boundedArray(z.string(), { min: 1, max: MAX_ITEMS })
      .nullish()
      .describe("In place of `documents`: answer as Hugging Face's Text Embeddings Inference does."),
    top_n: z.int().min(0).nullish().describe('Return so many of the best documents; left out or 0: all.'),
    return_documents: z.boolean().nullish().describe('Return the documents too (default true).'),
    return_text: z.boolean().nullish().describe('With `texts`: return the texts too (default false).'),
  })
  .superRefine(
    refuse({
      max_tokens_per_doc: 'is not supported by this server: use `truncate_prompt_tokens`',
      rank_fields: 'is not supported by this server: give documents as texts',
    }),
  )
  .superRefine((body, context) => {
    if ((body.documents == null) === (body.texts == null)) {
      const message = body.texts == null ? 'is required' : 'must be left out when `texts` are given';
      context.addIssue({ code: 'custom', path: ['documents'], message });
    }
  })
  .openapi('RerankRequest');

const Ranking = z.object({
  id: z.string(),
  object: z.literal('list'),
  model: z.string(),
  results: z
    .array(
      z.object({
        index: z.int().describe('Of the document in the request.'),
        relevance_score: z.number().describe('Cosine of the angle between the embeddings: -1 to 1.'),
        document: z.object({ text: z.string() }).optional(),
      }),
    )
    .describe('Best first.'),
  usage: PromptUsage,
});

export const RerankResponse = z
  .union([Ranking, z.array(z.object({ index: z.int(), score: z.number(), text: z.string().optional() }))])
  .openapi('RerankResponse');

const texts = z.union([z.string(), boundedArray(z.string(), { min: 1, max: MAX_ITEMS })], {
  error: `must be a string or a list of up to ${MAX_ITEMS} strings`,
});

export const ScoreRequest = z
  .looseObject({
    ...commonFields,
    text_1: texts.describe('One text, which is compared with each of `text_2`, or as many as those.'),
    text_2: texts,
  })
  .superRefine(({ text_1, text_2 }, context) => {
    const [first, second] = [[text_1].flat().length, [text_2].flat().length];
    if (first === 1 || first === second) return;
    const message = `must be one text or as many as \`text_2\` has: there are ${first} and ${second}`;
    context.addIssue({ code: 'custom', path: ['text_1'], message });
  })
  .openapi('ScoreRequest');

export const ScoreResponse = z
  .object({
    id: z.string(),
    object: z.literal('list'),
    created: z.int().describe('Unix seconds.'),
    model: z.string(),
    data: z.array(
      z.object({
        index: z.int(),
        object: z.literal('score'),
        score: z.number().describe('Cosine of the angle between the embeddings: -1 to 1.'),
      }),
    ),
    usage: PromptUsage,
  })
  .openapi('ScoreResponse');
