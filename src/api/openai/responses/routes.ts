import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi';
import type { Context } from 'hono';
import { RequestError } from '../../../serving/index.js';
import type { ClientVariables } from '../../access/index.js';
import type { ApiContext } from '../../context.js';
import { streamAnswer } from '../../stream.js';
import { ApiError } from '../errors.js';
import { ErrorResponse, errorResponses } from '../schemas.js';
import { submit } from '../submission.js';
import { collectResponse, createAnswer } from './answer.js';
import { inTermsOfResponses, toGenerationRequest, toPrompt, wantsLogprobs } from './generation-request.js';
import { listItems } from './item-list.js';
import { newId, toItems } from './items.js';
import { InputTokensRequest, type PromptBody, ResponsesRequest } from './request-schema.js';
import { responseWriter } from './response-object.js';
import { DeletedResponse, InputTokens, ItemList, Response } from './response-schema.js';
import { conversationOf, createResponseStore, type ResponseShelf, type StoredResponse } from './store.js';
import { responseEvents } from './stream.js';
import { toFittingPrompt } from './truncation.js';

const notFound = {
  description: 'No such response, or no longer.',
  content: { 'application/json': { schema: ErrorResponse } },
};

const createResponse = createRoute({
  method: 'post',
  path: '/responses',
  summary: 'Answer a message, or the last one of a conversation',
  request: { body: { required: true, content: { 'application/json': { schema: ResponsesRequest } } } },
  responses: {
    200: {
      description: 'The response; with `stream`, events from `response.created` to `response.completed`.',
      content: { 'application/json': { schema: Response }, 'text/event-stream': { schema: z.string() } },
    },
    ...errorResponses,
  },
});

const countInputTokens = createRoute({
  method: 'post',
  path: '/responses/input_tokens',
  summary: 'Count the tokens that a request would have as input',
  request: { body: { required: true, content: { 'application/json': { schema: InputTokensRequest } } } },
  responses: {
    200: { description: 'The count.', content: { 'application/json': { schema: InputTokens } } },
    ...errorResponses,
  },
});

const params = z.object({ response_id: z.string() });

const retrieveResponse = createRoute({
  method: 'get',
  path: '/responses/{response_id}',
  summary: 'Return a stored response',
  request: {
    params,
    query: z.object({ stream: z.enum(['true', 'false']).optional().describe('Only `false`.') }),
  },
  responses: {
    200: { description: 'The response.', content: { 'application/json': { schema: Response } } },
    400: errorResponses[400],
    401: errorResponses[401],
    404: notFound,
  },
});

const deleteResponse = createRoute({
  method: 'delete',
  path: '/responses/{response_id}',
  summary: 'Forget a stored response',
  request: { params },
  responses: {
    200: { description: 'It is gone.', content: { 'application/json': { schema: DeletedResponse } } },
    401: errorResponses[401],
    404: notFound,
  },
});

const listInputItems = createRoute({
  method: 'get',
  path: '/responses/{response_id}/input_items',
  summary: 'List what a stored response answers: the conversation before it, page by page',
  request: {
    params,
    query: z.object({
      after: z.string().optional().describe('The id of the last item of the page before.'),
      limit: z.coerce.number().int().min(1).max(100).default(20),
      order: z.enum(['asc', 'desc']).default('desc'),
    }),
  },
  responses: {
    200: { description: 'A page of items.', content: { 'application/json': { schema: ItemList } } },
    400: errorResponses[400],
    401: errorResponses[401],
    404: notFound,
  },
});

const cancelResponse = createRoute({
  method: 'post',
  path: '/responses/{response_id}/cancel',
  summary: 'Always refused: only background responses can be cancelled, and there are none',
  request: { params },
  responses: { 400: errorResponses[400], 401: errorResponses[401], 404: notFound },
});

type Env = { Variables: ClientVariables };

/** OpenAI's Responses API. Responses are kept in memory, each client's apart. */
export function responses(context: ApiContext): OpenAPIHono<Env> {
  const store = createResponseStore();
  const shelfOf = (c: Context<Env>): ResponseShelf => store(c.get('client') ?? '');

  return new OpenAPIHono<Env>()
    .openapi(createResponse, async (c) => {
      const body = c.req.valid('json');
      const shelf = shelfOf(c);
      const { previous, input, items } = takeInput(body, shelf);
      const prompt = body.truncation === 'auto' ? toFittingPrompt(body, items, context.serving) : toPrompt(body, items);
      const id = newId('resp');
      const request = toGenerationRequest(id, body, prompt);
      const submission = await submit(context, [request], 1, c).catch((error) => {
        throw inTermsOfResponses(error);
      });

      const write = responseWriter(id, body, submission.model);
      const answer = createAnswer(submission, write, wantsLogprobs(body), (response) => {
        if (response.store) shelf.add(response, input, previous);
      });
      if (body.stream) {
        const events = responseEvents(answer);
        return streamAnswer(c, submission, events, events, context.logger);
      }
      return c.json(await collectResponse(submission, answer), 200);
    })

    .openapi(countInputTokens, (c) => {
      const body = c.req.valid('json');
      const { prompt, tools } = toPrompt(body, takeInput(body, shelfOf(c)).items);
      const { tokenIds } = context.serving.tokenize(body.model ?? undefined, prompt, tools);
      return c.json({ object: 'response.input_tokens' as const, input_tokens: tokenIds.length }, 200);
    })

    .openapi(retrieveResponse, (c) => {
      const { response } = find(shelfOf(c), c.req.valid('param').response_id);
      if (c.req.valid('query').stream === 'true') {
        throw new RequestError('stream: only background responses can be streamed again, and there are none.', {
          param: 'stream',
          code: 'unsupported_parameter',
        });
      }
      return c.json(response, 200);
    })

    .openapi(deleteResponse, (c) => {
      const id = c.req.valid('param').response_id;
      if (!shelfOf(c).delete(id)) throw responseNotFound(id);
      return c.json({ id, object: 'response' as const, deleted: true as const }, 200);
    })

    .openapi(listInputItems, (c) => {
      const { input } = find(shelfOf(c), c.req.valid('param').response_id);
      return c.json(listItems(input, c.req.valid('query')), 200);
    })

    .openapi(cancelResponse, (c) => {
      find(shelfOf(c), c.req.valid('param').response_id);
      throw new RequestError('Cannot cancel a synchronous response.');
    });
}

function find(shelf: ResponseShelf, id: string): StoredResponse {
  const stored = shelf.get(id);
  if (!stored) throw responseNotFound(id);
  return stored;
}

function responseNotFound(id: string): ApiError {
  return new ApiError(404, `Response with id '${id}' not found.`);
}

/**
 * The request's own input, and the whole conversation that it makes with what came before.
 *
 * @throws RequestError, ApiError when something that it refers to is not stored.
 */
function takeInput(body: PromptBody, shelf: ResponseShelf) {
  const id = body.previous_response_id;
  const previous = id == null ? undefined : shelf.get(id);
  if (id != null && previous === undefined) {
    // 400 rather than 404, as OpenAI has it.
    throw new RequestError(`Previous response with id '${id}' not found.`, {
      param: 'previous_response_id',
      code: 'previous_response_not_found',
    });
  }
  const input = toItems(body.input, (itemId) => shelf.item(itemId));
  return { previous, input, items: [...conversationOf(previous), ...input] };
}
