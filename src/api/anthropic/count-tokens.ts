import { createRoute, OpenAPIHono } from '@hono/zod-openapi';
import type { ApiContext } from '../context.js';
import { anthropicErrors } from './errors.js';
import { toChatPrompt, toToolUse } from './prompt.js';
import { CountTokensRequest, TokenCount } from './schemas.js';

const route = createRoute({
  method: 'post',
  path: '/v1/messages/count_tokens',
  summary: "Count the tokens of a chat (Anthropic's Messages API)",
  request: { body: { required: true, content: { 'application/json': { schema: CountTokensRequest } } } },
  responses: {
    200: { description: 'Their number.', content: { 'application/json': { schema: TokenCount } } },
    ...anthropicErrors,
  },
});

/** `POST /v1/messages/count_tokens`: exactly the prompt that `/v1/messages` would compute. */
export function countTokens({ serving }: ApiContext): OpenAPIHono {
  return new OpenAPIHono().openapi(route, (c) => {
    const body = c.req.valid('json');
    const { tokenIds } = serving.tokenize(body.model ?? undefined, toChatPrompt(body), toToolUse(body));
    return c.json({ input_tokens: tokenIds.length }, 200);
  });
}
