import { describe, expect, test } from 'vitest';
import { ContextLengthError, EngineUnavailableError } from '../../src/serving/index.js';
import { chat, post, quietApp } from '../support/api.js';
import { fakeServing } from '../support/fake-serving.js';

const CHAT = '/v1/chat/completions';
const COMPLETIONS = '/v1/completions';

async function ask(path: string, init?: RequestInit) {
  const response = await quietApp(fakeServing()).request(path, init);
  return { status: response.status, headers: response.headers, body: await response.json() };
}

function invalid(param: string | null, message: string, code: string | null = null) {
  return { error: { message, type: 'invalid_request_error', param, code } };
}

const tool = (name: string) => ({ type: 'function', function: { name } });
const calling = (json: string) => ({ id: 'c', type: 'function', function: { name: 'f', arguments: json } });

const unsupported = (field: string, instead = '') =>
  [field, `${field}: is not supported by this server: leave it out${instead}`, 'unsupported_parameter'] as const;

describe('a field of a chat completion that is wrong is named, with what is allowed', () => {
  test.each<[what: object, param: string, message: string, code?: string | null]>([
    [{ temperature: 3 }, 'temperature', 'temperature: must be <= 2'],
    [{ temperature: -0.1 }, 'temperature', 'temperature: must be >= 0'],
    [{ temperature: 'hot' }, 'temperature', 'temperature: must be a number'],
    [{ top_p: 0 }, 'top_p', 'top_p: must be > 0'],
    [{ top_p: 1.1 }, 'top_p', 'top_p: must be <= 1'],
    [{ top_k: -2 }, 'top_k', 'top_k: must be >= -1'],
    [{ top_k: 1.5 }, 'top_k', 'top_k: must be a whole number'],
    [{ min_p: 2 }, 'min_p', 'min_p: must be <= 1'],
    [{ typical_p: 0 }, 'typical_p', 'typical_p: must be > 0'],
    [{ presence_penalty: 2.5 }, 'presence_penalty', 'presence_penalty: must be <= 2'],
    [{ frequency_penalty: -3 }, 'frequency_penalty', 'frequency_penalty: must be >= -2'],
    [{ repetition_penalty: 0 }, 'repetition_penalty', 'repetition_penalty: must be > 0'],
    [{ n: 0 }, 'n', 'n: must be >= 1'],
    [{ n: 129 }, 'n', 'n: must be <= 128'],
    [{ max_tokens: 0 }, 'max_tokens', 'max_tokens: must be >= 1'],
    [{ max_completion_tokens: -1 }, 'max_completion_tokens', 'max_completion_tokens: must be >= 1'],
    [{ min_tokens: -1 }, 'min_tokens', 'min_tokens: must be >= 0'],
    [{ seed: 1e300 }, 'seed', 'seed: must be <= 9007199254740991'],
    [{ stop: 5 }, 'stop', 'stop: must be a string or a list of up to 64 strings'],
    [{ stop: '' }, 'stop', 'stop: must not be empty'],
    [{ stop: ['a', ''] }, 'stop[1]', 'stop[1]: must not be empty'],
    [{ stop: new Array(65).fill('x') }, 'stop', 'stop: must be a string or a list of up to 64 strings'],
    [{ stop_token_ids: [-1] }, 'stop_token_ids[0]', 'stop_token_ids[0]: must be >= 0'],
    [
      { logit_bias: { 5: 101 } },
      'logit_bias',
      'logit_bias: must be an object of up to 4096 token ids, each with a number from -100 to 100',
    ],
    [
      { logit_bias: { the: 1 } },
      'logit_bias',
      'logit_bias: must be an object of up to 4096 token ids, each with a number from -100 to 100',
    ],
    [{ logprobs: 1 }, 'logprobs', 'logprobs: must be true or false'],
    [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs', 'top_logprobs: must be <= 20'],
    [{ top_logprobs: 2 }, 'top_logprobs', 'top_logprobs: is only allowed when `logprobs` is true'],
    [{ stream: 'yes' }, 'stream', 'stream: must be true or false'],
    [
      { stream_options: { include_usage: true } },
      'stream_options',
      'stream_options: is only allowed when `stream` is true',
    ],
    [{ cache_salt: '' }, 'cache_salt', 'cache_salt: must not be empty'],
    [{ priority: 'high' }, 'priority', 'priority: must be a number'],
    [{ messages: undefined }, 'messages', 'messages: is required'],
    [{ messages: null }, 'messages', 'messages: must be a list'],
    [{ messages: [] }, 'messages', 'messages: must have at least 1 item'],
    [
      { messages: new Array(2049).fill({ role: 'user', content: '' }) },
      'messages',
      'messages: must have at most 2048 items',
    ],
    [{ messages: [{ content: 'x' }] }, 'messages[0].role', 'messages[0].role: is required'],
    [{ messages: ['x'] }, 'messages[0]', 'messages[0]: must be an object'],
    [
      { messages: [{ role: 'user', content: 5 }] },
      'messages[0].content',
      'messages[0].content: must be a string or a list of up to 128 content parts',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:' } }] }] },
      'messages[0].content[0].type',
      'messages[0].content[0].type: this model is text-only: the only content parts it takes are of type "text"',
    ],
    [
      { messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      'messages[0].content[0].text',
      'messages[0].content[0].text: is required',
    ],
    [
      { messages: [{ role: 'function', content: 'x' }] },
      'messages[0].role',
      'messages[0].role: function calls are not supported: use tools and tool messages',
      'unsupported_parameter',
    ],
    [
      { messages: [{ role: 'tool', content: 'x' }] },
      'messages[0].tool_call_id',
      'messages[0].tool_call_id: is required',
    ],
    [
      { messages: [{ role: 'user', content: 'x', tool_calls: [calling('{}')] }] },
      'messages[0].tool_calls',
      'messages[0].tool_calls: are only allowed in messages of an assistant',
    ],
    [
      { messages: [{ role: 'assistant', tool_calls: [calling('[1]')] }] },
      'messages[0].tool_calls[0].function.arguments',
      'messages[0].tool_calls[0].function.arguments: must be JSON text of an object',
    ],
    [{ tools: [{ type: 'function' }] }, 'tools[0].function', 'tools[0].function: is required'],
    [
      { tools: [{ type: 'web_search' }] },
      'tools[0].type',
      'tools[0].type: must be "function": this server runs no tools of its own',
    ],
    [
      { tools: [tool('a b')] },
      'tools[0].function.name',
      'tools[0].function.name: must be 1 to 64 letters, digits, underscores, dots or dashes',
    ],
    [{ tools: [tool('f'), tool('f')] }, 'tools', 'tools: must have names that differ'],
    [{ tool_choice: 'required' }, 'tool_choice', 'tool_choice: is only allowed when `tools` are given'],
    [
      { tools: [tool('f')], tool_choice: { type: 'function', function: { name: 'g' } } },
      'tool_choice',
      'tool_choice: names the function `g`, which is not among the tools',
    ],
    [
      { continue_final_message: true, add_generation_prompt: true },
      'continue_final_message',
      'continue_final_message: is only allowed when `add_generation_prompt` is not true',
    ],
    [{ functions: [{}] }, ...unsupported('functions', ' or set it to []')],
    [
      { response_format: { type: 'xml' } },
      'response_format.type',
      'response_format.type: must have the type "text", "json_object", "json_schema" or "structural_tag"',
    ],
    [
      { response_format: { type: 'json_schema', json_schema: { name: 'x', schema: 1 } } },
      'response_format.json_schema.schema',
      'response_format.json_schema.schema: must be a JSON Schema: an object or a boolean',
    ],
    [
      { response_format: { type: 'json_object' }, guided_regex: 'a' },
      'guided_regex',
      'guided_regex: is not allowed together with `response_format`',
    ],
    [
      { structured_outputs: { regex: 'a', choice: ['b'] } },
      'structured_outputs',
      'structured_outputs: must have exactly one of json, regex, choice, grammar, json_object, structural_tag',
    ],
    [{ guided_json: '{' }, 'guided_json', 'guided_json: must be an object, or the JSON of one'],
    [{ audio: { voice: 'x' } }, ...unsupported('audio')],
    [{ modalities: ['audio'] }, ...unsupported('modalities', ' or set it to ["text"]')],
    [{ store: true }, ...unsupported('store', ' or set it to false')],
    [{ use_beam_search: true }, ...unsupported('use_beam_search', ' or set it to false')],
  ])('%j', async (what, param, message, code = null) => {
    expect(await ask(CHAT, post(chat(what)))).toMatchObject({ status: 400, body: invalid(param, message, code) });
  });
});

describe('a field of a completion that is wrong is named, with what is allowed', () => {
  const prompt = 'prompt: must be a string, a list of token ids, or a list of up to 2048 of either';
  test.each<[what: object, param: string, message: string, code?: string | null]>([
    [{ prompt: undefined }, 'prompt', 'prompt: is required'],
    [{ prompt: null }, 'prompt', prompt],
    [{ prompt: [] }, 'prompt', prompt],
    [{ prompt: ['a', 1] }, 'prompt', prompt],
    [{ prompt: [1, -1] }, 'prompt', prompt],
    [{ prompt: [[1], []] }, 'prompt', prompt],
    [{ prompt: new Array(2049).fill('x') }, 'prompt', prompt],
    [{ logprobs: 21 }, 'logprobs', 'logprobs: must be <= 20'],
    [{ logprobs: true }, 'logprobs', 'logprobs: must be a number'],
    [
      { suffix: 'x', prompt: [1] },
      'suffix',
      'suffix: is not supported for prompts of token ids',
      'unsupported_parameter',
    ],
    [{ best_of: 1, n: 2 }, 'best_of', 'best_of: must not be less than `n`'],
    [{ best_of: 2, stream: true }, 'best_of', 'best_of: cannot be more than `n` when `stream` is true'],
    [
      { echo: true, logprobs: 1, suffix: 'x' },
      'echo',
      'echo: is not supported with `suffix` and `logprobs`',
      'unsupported_parameter',
    ],
    [{ max_tokens: 0 }, 'max_tokens', 'max_tokens: must be at least 1, unless there is `echo` or `prompt_logprobs`'],
    [{ allowed_token_ids: [] }, 'allowed_token_ids', 'allowed_token_ids: must have at least 1 item'],
    [
      { mirostat: 2 },
      'mirostat',
      'mirostat: is not supported by this server: leave it out or set it to 0',
      'unsupported_parameter',
    ],
  ])('%j', async (what, param, message, code = null) => {
    const body = post({ prompt: 'x', ...what });
    expect(await ask(COMPLETIONS, body)).toMatchObject({ status: 400, body: invalid(param, message, code) });
  });
});

describe('a body that is no request', () => {
  const noJson = invalid(null, 'The request body is not valid JSON.');
  const noObject = invalid(null, 'The request body must be a JSON object.');
  test.each([
    ['{', noJson],
    ['', noJson],
    ['NaN', noJson],
    ['null', noObject],
    ['[]', noObject],
    ['"text"', noObject],
    ['5', noObject],
  ])('%j is refused', async (body, expected) => {
    expect(await ask(CHAT, post(body))).toMatchObject({ status: 400, body: expected });
  });

  test.each(['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x'])(
    'of type %s is refused',
    async (type) => {
      const { status, body } = await ask(CHAT, post(chat(), { 'Content-Type': type }));
      expect(status).toBe(415);
      expect(body).toEqual(
        invalid(null, 'The request body must be JSON: send the header Content-Type: application/json.'),
      );
    },
  );

  test.each(['application/json; charset=utf-8', 'Application/JSON', 'application/vnd.api+json'])(
    'of type %s is taken',
    async (type) => {
      expect(await ask(CHAT, post(chat(), { 'Content-Type': type }))).toMatchObject({ status: 200 });
    },
  );
});

describe('what is not there', () => {
  test('a model', async () => {
    const message = 'The model `gpt-4` does not exist. GET /v1/models lists the models served here.';
    const expected = { status: 404, body: invalid('model', message, 'model_not_found') };
    expect(await ask(CHAT, post(chat({ model: 'gpt-4' })))).toMatchObject(expected);
    expect(await ask(COMPLETIONS, post({ prompt: 'x', model: 'gpt-4' }))).toMatchObject(expected);
    expect(await ask('/v1/models/gpt-4')).toMatchObject(expected);
  });

  test('a URL', async () => {
    const message = 'Unknown request URL: GET /v1/nothing. GET /openapi.json lists the URLs of this server.';
    expect(await ask('/v1/nothing')).toMatchObject({ status: 404, body: invalid(null, message, 'unknown_url') });
  });

  test('a method', async () => {
    const { status, headers, body } = await ask(CHAT);
    expect(status).toBe(405);
    expect(headers.get('allow')).toBe('POST');
    expect(body).toEqual(
      invalid(null, 'Not allowed to GET on /v1/chat/completions: use POST.', 'method_not_supported'),
    );
    expect(await ask('/v1/models', { method: 'DELETE' })).toMatchObject({ status: 405 });
    expect(await ask('/v1/models/fake-model', { method: 'DELETE' })).toMatchObject({ status: 405 });
    expect(await ask('/health', { method: 'POST' })).toMatchObject({ status: 405 });
  });
});

describe('what serving throws', () => {
  async function refusedWith(error: Error) {
    const serving = fakeServing();
    serving.generate = () => Promise.reject(error);
    return quietApp(serving).request(CHAT, post(chat()));
  }

  test('a context that is too long is a 400 with OpenAI’s code', async () => {
    const response = await refusedWith(new ContextLengthError('too long by 5 tokens', 'messages'));
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual(invalid('messages', 'too long by 5 tokens', 'context_length_exceeded'));
  });

  test('an engine that is not there is a 503 that says when to come back', async () => {
    const response = await refusedWith(new EngineUnavailableError('loading'));
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
    expect(await response.json()).toEqual({
      error: { message: 'loading', type: 'server_error', param: null, code: 'engine_unavailable' },
    });
  });

  test('anything else is a 500 that keeps its reasons to itself', async () => {
    const response = await refusedWith(new TypeError('cannot read /root/secret'));
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(text).not.toContain('secret');
    expect(JSON.parse(text).error).toEqual({
      message: 'The server had an error while processing your request. Its log says more.',
      type: 'server_error',
      param: null,
      code: null,
    });
  });
});

describe('a body that is too large', () => {
  const app = quietApp(fakeServing(), { maxBodyBytes: 1000 });
  const large = JSON.stringify(chat({ user: 'x'.repeat(1000) }));
  const tooLarge = invalid(
    null,
    'The request body is larger than 1000 bytes, the most that this server takes.',
    'request_too_large',
  );

  test('is refused by its declared length', async () => {
    const response = await app.request(CHAT, post(large, { 'Content-Length': String(large.length) }));
    expect(response.status).toBe(413);
    expect(await response.json()).toEqual(tooLarge);
  });

  test('is refused while it comes when no length is declared', async () => {
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        controller.enqueue(new Uint8Array(600));
      },
    });
    const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body, duplex: 'half' };
    const response = await app.request(CHAT, init as RequestInit);
    expect(response.status).toBe(413);
    expect(await response.json()).toEqual(tooLarge);
    expect(sent).toBeLessThan(5);
  });

  test('is not one that is just small enough', async () => {
    const body = JSON.stringify(chat({ user: '' }));
    const padded = body.replace('"user":""', `"user":"${'x'.repeat(1000 - body.length)}"`);
    expect(padded.length).toBe(1000);
    expect((await app.request(CHAT, post(padded))).status).toBe(200);
  });
});
