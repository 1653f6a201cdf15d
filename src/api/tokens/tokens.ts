import { OpenAPIHono, type z } from '@hono/zod-openapi';
import type { Prompt, Serving, Tokenization } from '../../serving/index.js';
import type { ApiContext } from '../context.js';
import { jsonRoute } from '../openai/json-route.js';
import { toChatMessage } from '../openai/message-schemas.js';
import { toToolUse } from '../openai/tool-schemas.js';
import {
  AppliedTemplate,
  ApplyTemplateRequest,
  Detokenized,
  DetokenizeRequest,
  Tokenized,
  TokenizeRequest,
} from './schemas.js';

/** Where these routes are. */
export const TOKEN_PATHS = ['/tokenize', '/detokenize', '/apply-template'];

const tokenizeRoute = jsonRoute('/tokenize', 'Turn a text or a chat into token ids', TokenizeRequest, Tokenized);
const detokenizeRoute = jsonRoute('/detokenize', 'Turn token ids into text', DetokenizeRequest, Detokenized);
const templateRoute = jsonRoute('/apply-template', 'Render a chat as text', ApplyTemplateRequest, AppliedTemplate);

/** `POST /tokenize` and `/detokenize`, as vLLM and as llama-server have them, and llama-server's `/apply-template`. */
export function tokens({ serving }: ApiContext): OpenAPIHono {
  const app = new OpenAPIHono();
  app.openapi(tokenizeRoute, (c) => c.json(tokenize(serving, c.req.valid('json')), 200));
  app.openapi(detokenizeRoute, (c) => {
    const { model, tokens } = c.req.valid('json');
    const { text } = serving.detokenize(model ?? undefined, tokens);
    return c.json({ prompt: text, content: text }, 200);
  });
  app.openapi(templateRoute, (c) => {
    const body = c.req.valid('json');
    const { rendered } = serving.tokenize(body.model ?? undefined, chatPrompt(body), toToolUse(body));
    return c.json({ prompt: rendered }, 200);
  });
  return app;
}

type TokenizeBody = z.infer<typeof TokenizeRequest>;

function tokenize(serving: Serving, body: TokenizeBody): z.infer<typeof Tokenized> {
  const tokenization = serving.tokenize(body.model ?? undefined, promptOf(body), toToolUse(body));
  const tokens = Array.from(tokenization.tokenIds);
  if (body.content != null) return { tokens: body.with_pieces ? withPieces(tokenization) : tokens };
  return {
    count: tokens.length,
    max_model_len: tokenization.model.maxModelLen,
    tokens,
    token_strs: body.return_token_strs ? tokenization.pieces().map(({ text }) => text) : null,
  };
}

function promptOf(body: TokenizeBody): Prompt {
  const { prompt, messages, content } = body;
  if (messages != null) return chatPrompt({ ...body, messages });
  if (prompt != null) return { kind: 'text', text: prompt, addSpecialTokens: body.add_special_tokens ?? true };
  return {
    kind: 'text',
    text: content as string,
    addSpecialTokens: body.add_special ?? false,
    parseSpecialTokens: body.parse_special ?? true,
  };
}

function chatPrompt(body: z.infer<typeof ApplyTemplateRequest>): Prompt {
  return {
    kind: 'chat',
    messages: body.messages.map(toChatMessage),
    addGenerationPrompt: body.add_generation_prompt ?? undefined,
    continueFinalMessage: body.continue_final_message ?? undefined,
    templateArguments: body.chat_template_kwargs ?? undefined,
  };
}

function withPieces({ tokenIds, pieces }: Tokenization) {
  return pieces().map(({ bytes, text, complete }, i) => ({
    id: tokenIds[i] as number,
    piece: complete ? text : Array.from(bytes),
  }));
}
