import { z } from '@hono/zod-openapi';
import { ChatCompletionRequest } from '../openai/chat-schemas.js';

/** Most tokens of one request. */
const MAX_TOKENS = 2 ** 20;

const chatFields = {
  model: z.string().nullish().describe('Name of a served model; left out: the default model.'),
  add_generation_prompt: z.boolean().nullish().describe('Begin the answer in the chat template (default true).'),
  continue_final_message: z.boolean().nullish().describe('Leave the last message open instead.'),
  chat_template_kwargs: z.record(z.string(), z.unknown()).nullish().describe('Arguments for the chat template.'),
  tools: ChatCompletionRequest.shape.tools.describe('Tools that the template tells the model of.'),
};

type Refinement = z.RefinementCtx;

function refuseTwoEnds(
  body: { add_generation_prompt?: boolean | null; continue_final_message?: boolean | null },
  context: Refinement,
): void {
  if (!body.continue_final_message || !body.add_generation_prompt) return;
  const message = 'is only allowed when `add_generation_prompt` is not true';
  context.addIssue({ code: 'custom', path: ['continue_final_message'], message });
}

const PROMPTS = ['prompt', 'messages', 'content'] as const;

/** vLLM's body has `prompt` or `messages`, llama-server's has `content`: each gets the answer it knows. */
export const TokenizeRequest = z
  .looseObject({
    ...chatFields,
    prompt: z.string().nullish().describe('A text (vLLM).'),
    messages: ChatCompletionRequest.shape.messages.nullish().describe('A chat (vLLM).'),
    content: z.string().nullish().describe('A text (llama-server).'),
    add_special_tokens: z.boolean().nullish().describe('With `prompt`: add BOS and the like (default true).'),
    return_token_strs: z.boolean().nullish().describe('With `prompt` or `messages`: return the text of each token.'),
    add_special: z.boolean().nullish().describe('With `content`: add BOS and the like (default false).'),
    parse_special: z.boolean().nullish().describe('With `content`: recognise special tokens (default true).'),
    with_pieces: z.boolean().nullish().describe('With `content`: return what each token stands for.'),
  })
  .superRefine((body, context) => {
    const given = PROMPTS.filter((field) => body[field] != null);
    if (given.length !== 1) {
      const message = `give one of \`prompt\`, \`messages\` and \`content\`${given.length > 1 ? ', not several' : ''}`;
      context.addIssue({ code: 'custom', path: [given[1] ?? 'prompt'], message, input: body });
    }
    if (body.messages != null && body.add_special_tokens) {
      const message = 'is not supported with `messages`: chat templates write special tokens themselves';
      context.addIssue({ code: 'custom', path: ['add_special_tokens'], message });
    }
    refuseTwoEnds(body, context);
  })
  .openapi('TokenizeRequest');

export const Tokenized = z
  .union([
    z.object({
      count: z.int(),
      max_model_len: z.int(),
      tokens: z.array(z.int()),
      token_strs: z.array(z.string()).nullable().describe('U+FFFD where bytes are not UTF-8 by themselves.'),
    }),
    z.object({
      tokens: z.union([
        z.array(z.int()),
        z.array(
          z.object({
            id: z.int(),
            piece: z.union([z.string(), z.array(z.int())]).describe('Bytes where it is not UTF-8 by itself.'),
          }),
        ),
      ]),
    }),
  ])
  .openapi('Tokenized');

const isTokenIds = (value: unknown): boolean =>
  Array.isArray(value) && value.length <= MAX_TOKENS && value.every((id) => Number.isSafeInteger(id) && id >= 0);

export const DetokenizeRequest = z
  .looseObject({
    model: chatFields.model,
    tokens: z
      .custom<number[]>(isTokenIds, { error: `must be a list of up to ${MAX_TOKENS} token ids` })
      .openapi({ type: 'array', items: { type: 'integer', minimum: 0 }, maxItems: MAX_TOKENS }),
  })
  .openapi('DetokenizeRequest');

export const Detokenized = z
  .object({ prompt: z.string().describe("vLLM's name."), content: z.string().describe("llama-server's name.") })
  .openapi('Detokenized');

export const ApplyTemplateRequest = z
  .looseObject({ ...chatFields, messages: ChatCompletionRequest.shape.messages })
  .superRefine(refuseTwoEnds)
  .openapi('ApplyTemplateRequest');

export const AppliedTemplate = z.object({ prompt: z.string() }).openapi('AppliedTemplate');
