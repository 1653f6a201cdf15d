import { randomUUID } from 'node:crypto';
import { endianness } from 'node:os';
import { OpenAPIHono, type z } from '@hono/zod-openapi';
import type { Prompt } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import type { WirePrompt } from '../openai/completion-schemas.js';
import { jsonRoute } from '../openai/json-route.js';
import { embed } from './embed.js';
import { EmbeddingList, EmbeddingsRequest } from './schemas.js';

const route = jsonRoute('/embeddings', 'Turn texts into vectors', EmbeddingsRequest, EmbeddingList);

/** `POST /embeddings`, field for field as OpenAI and its clients have it. */
export function embeddings(context: ApiContext): OpenAPIHono {
  return new OpenAPIHono().openapi(route, async (c) => {
    const body = c.req.valid('json');
    const prompts = toPrompts(body.input, body.add_special_tokens ?? true);
    const { model, vectors, promptTokens } = await embed(
      context,
      {
        model: body.model ?? undefined,
        id: `embd-${randomUUID().replaceAll('-', '')}`,
        prompts,
        field: (index) => (prompts.length > 1 ? `input[${index}]` : 'input'),
        pooling: body.pooling ?? undefined,
        dimensions: body.dimensions ?? undefined,
        normalize: body.normalize ?? undefined,
        truncatePromptTokens: body.truncate_prompt_tokens ?? undefined,
        priority: body.priority ?? undefined,
      },
      c,
    );
    const encode = body.encoding_format === 'base64' ? toBase64 : (vector: Float32Array) => Array.from(vector);
    const list: z.infer<typeof EmbeddingList> = {
      object: 'list',
      data: vectors.map((vector, index) => ({ object: 'embedding', index, embedding: encode(vector) })),
      model: model.id,
      usage: toPromptUsage(promptTokens),
    };
    return c.json(list, 200);
  });
}

function toPrompts(input: WirePrompt, addSpecialTokens: boolean): Prompt[] {
  if (typeof input === 'string') return [{ kind: 'text', text: input, addSpecialTokens }];
  if (typeof input[0] === 'number') return [{ kind: 'tokens', tokenIds: input as number[] }];
  return (input as string[] | number[][]).flatMap((part) => toPrompts(part, addSpecialTokens));
}

/** Clients read little-endian numbers. */
function toBase64(vector: Float32Array): string {
  const bytes = Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
  return (endianness() === 'LE' ? bytes : Buffer.from(bytes).swap32()).toString('base64');
}

export function toPromptUsage(promptTokens: number) {
  return { prompt_tokens: promptTokens, total_tokens: promptTokens };
}
