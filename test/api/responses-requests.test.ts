import { describe, expect, test } from 'vitest';
import { ContextLengthError, RequestError } from '../../src/serving/index.js';
import { ask, responsesClient as client, TIME, WEATHER } from '../support/responses.js';

describe('input', () => {
  test('is a message of the user, after the instructions', async () => {
    const asked = client();
    await asked.create(ask({ instructions: 'Be brief.' }));
    expect(asked.messages()).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hi' },
    ]);
  });

  test('may be items of all kinds, of which those of one turn become one message', async () => {
    const asked = client();
    const { status } = await asked.create({
      instructions: 'Be brief.',
      input: [
        { role: 'developer', content: 'And kind.' },
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'Weather' },
            { type: 'input_text', text: 'in Bern?' },
          ],
        },
        {
          type: 'reasoning',
          id: 'rs_1',
          summary: [{ type: 'summary_text', text: 'short' }],
          content: [{ type: 'reasoning_text', text: 'I should look.' }],
        },
        {
          type: 'message',
          id: 'msg_1',
          role: 'assistant',
          status: 'completed',
          content: [{ type: 'output_text', text: 'One moment.', annotations: [] }],
        },
        { type: 'function_call', call_id: 'a', name: 'weather', arguments: '{"city":"Bern"}', id: 'fc_1' },
        { type: 'function_call', call_id: 'b', name: 'time', arguments: '' },
        { type: 'function_call_output', call_id: 'a', output: 'rain' },
        { type: 'function_call_output', call_id: 'b', output: [{ type: 'input_text', text: 'noon' }] },
        { type: 'message', role: 'system', content: 'Now answer.' },
        { type: 'reasoning', id: 'rs_2', summary: [{ type: 'summary_text', text: 'summed up' }] },
        { type: 'function_call', call_id: 'c', name: 'time', arguments: '{"bro' },
      ],
    });
    expect(status).toBe(200);
    const call = (callId: string, name: string, args: unknown) => ({
      id: callId,
      type: 'function',
      function: { name, arguments: args },
    });
    expect(asked.messages()).toEqual([
      { role: 'system', content: 'Be brief.\n\nAnd kind.' },
      { role: 'user', content: 'Weather\nin Bern?' },
      {
        role: 'assistant',
        content: 'One moment.',
        reasoning_content: 'I should look.',
        tool_calls: [call('a', 'weather', { city: 'Bern' }), call('b', 'time', {})],
      },
      { role: 'tool', content: 'rain', tool_call_id: 'a' },
      { role: 'tool', content: 'noon', tool_call_id: 'b' },
      { role: 'system', content: 'Now answer.' },
      { role: 'assistant', content: '', reasoning_content: 'summed up', tool_calls: [call('c', 'time', '{"bro')] },
    ]);
  });

  test('keeps two answers in a row apart', async () => {
    const asked = client();
    await asked.create({
      input: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: 'a' },
        { role: 'assistant', content: 'b' },
        { role: 'user', content: 'Go on' },
      ],
    });
    expect(asked.messages()?.map(({ content }) => content)).toEqual(['Hi', 'a', 'b', 'Go on']);
  });

  test('is gone on with where the assistant stopped', async () => {
    const asked = client();
    const begun = { type: 'message', id: 'msg_1', role: 'assistant', content: [{ type: 'output_text', text: 'I a' }] };
    await asked.create({
      input: [
        { role: 'user', content: 'Hi' },
        { ...begun, status: 'incomplete' },
      ],
    });
    await asked.create({
      input: [
        { role: 'user', content: 'Hi' },
        { ...begun, status: 'completed' },
      ],
    });
    expect(asked.serving.requests.map(({ prompt }) => prompt.kind === 'chat' && prompt.continueFinalMessage)).toEqual([
      true,
      false,
    ]);
  });
});

describe('settings reach the engine', () => {
  test.each<[what: object, request: object]>([
    [{ temperature: 0, top_p: 0.5 }, { sampling: { temperature: 0, topP: 0.5 } }],
    [
      { seed: 1, top_k: 5, stop: 'x', priority: 2 },
      { sampling: { seed: 1, topK: 5 }, stop: ['x'], priority: 2 },
    ],
    [{ max_output_tokens: 7 }, { sampling: { maxTokens: 7, logprobs: null } }],
    [{ top_logprobs: 2 }, { sampling: { logprobs: 2 } }],
    [{ include: ['message.output_text.logprobs'] }, { sampling: { logprobs: 0 } }],
    [{ reasoning: { effort: 'high' } }, { prompt: { templateArguments: { reasoning_effort: 'high' } } }],
    [
      { reasoning: { effort: 'none' } },
      { prompt: { templateArguments: { reasoning_effort: 'none', enable_thinking: false } } },
    ],
    [{ text: { format: { type: 'text' } } }, { structuredOutput: undefined }],
    [{ text: { format: { type: 'json_object' } } }, { structuredOutput: { kind: 'json_object' } }],
    [
      { text: { format: { type: 'json_schema', name: 'a', schema: { type: 'object' }, strict: true } } },
      {
        structuredOutput: {
          kind: 'json_schema',
          schema: { type: 'object' },
          strict: true,
          param: 'text.format.schema',
        },
      },
    ],
    [
      { structured_outputs: { choice: ['yes', 'no'] } },
      { structuredOutput: { kind: 'choice', choices: ['yes', 'no'] } },
    ],
    [{ tools: [] }, { tools: undefined }],
    [
      { tools: [WEATHER] },
      {
        tools: {
          definitions: [{ name: 'weather', description: WEATHER.description, parameters: WEATHER.parameters }],
          choice: 'auto',
          parallel: true,
        },
      },
    ],
    [
      { tools: [WEATHER], tool_choice: 'required', parallel_tool_calls: false },
      { tools: { choice: 'required', parallel: false } },
    ],
    [
      { tools: [WEATHER], tool_choice: { type: 'function', name: 'weather' } },
      { tools: { choice: { name: 'weather' } } },
    ],
    [
      {
        tools: [WEATHER, TIME],
        tool_choice: { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'time' }] },
      },
      { tools: { choice: 'required', definitions: [{ name: 'time' }] } },
    ],
  ])('%j', async (what, request) => {
    const asked = client();
    expect((await asked.create(ask(what))).status).toBe(200);
    expect(asked.serving.requests[0]).toMatchObject(request);
  });

  test('fields that have no effect are taken', async () => {
    const harmless = {
      include: ['reasoning.encrypted_content', 'file_search_call.results'],
      service_tier: 'flex',
      background: false,
      conversation: null,
      prompt: null,
      max_tool_calls: 1,
      unheard_of: 1,
      stream_options: null,
      context_management: [],
      text: { verbosity: 'medium' },
    };
    expect((await client().create(ask(harmless))).status).toBe(200);
    const { response } = await client().stream(ask({ stream_options: { include_obfuscation: false } }));
    expect(response.status).toBe(200);
  });
});

describe('what is wrong is named, with what is allowed', () => {
  const unsupported = 'unsupported_parameter';
  const item = (extra: object) => ({ input: [extra] });
  const textOnly = 'this model is text-only: the only parts it takes are of type "input_text" and "output_text"';
  test.each<[what: object, param: string, message: string, code?: string]>([
    [{ input: undefined }, 'input', 'input: is required'],
    [{ input: null }, 'input', 'input: is required'],
    [{ input: 5 }, 'input', 'input: must be a string or a list of up to 2048 items'],
    [{ input: [] }, 'input', 'input: must have at least 1 item'],
    [item({}), 'input[0].type', 'input[0].type: is required'],
    [
      item({ role: 'robot', content: '' }),
      'input[0].role',
      'input[0].role: must be "user", "assistant", "system" or "developer"',
    ],
    [item({ role: 'user' }), 'input[0].content', 'input[0].content: is required'],
    [
      item({ role: 'user', content: [{ type: 'input_image', image_url: 'data:' }] }),
      'input[0].content[0].type',
      `input[0].content[0].type: ${textOnly}`,
    ],
    [
      item({ type: 'function_call_output', call_id: 'x', output: [{ type: 'input_file' }] }),
      'input[0].output[0].type',
      `input[0].output[0].type: ${textOnly}`,
    ],
    [
      item({ type: 'web_search_call' }),
      'input[0].type',
      'input[0].type: items of this type are not supported by this server; ' +
        'it takes message, function_call, function_call_output, reasoning and item_reference',
    ],
    [item({ type: 'function_call', name: 'f', arguments: '' }), 'input[0].call_id', 'input[0].call_id: is required'],
    [
      item({ type: 'function_call_output', call_id: 'x', output: 'y' }),
      'input',
      'No tool call found for function call output with call_id x.',
    ],
    [
      item({ type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'gAAA' }),
      'input[0].encrypted_content',
      'input[0].encrypted_content: cannot be read by this server: send `content` or `summary`, or leave the item out',
    ],
    [{ max_output_tokens: 0 }, 'max_output_tokens', 'max_output_tokens: must be >= 1'],
    [{ temperature: 3 }, 'temperature', 'temperature: must be <= 2'],
    [{ top_logprobs: 21 }, 'top_logprobs', 'top_logprobs: must be <= 20'],
    [
      { tools: [{ type: 'web_search' }] },
      'tools[0].type',
      'tools[0].type: must be "function": this server runs no tools of its own',
    ],
    [{ tools: [{ type: 'function' }] }, 'tools[0].name', 'tools[0].name: is required'],
    [{ tools: [TIME, TIME] }, 'tools', 'tools: must have names that differ'],
    [{ tool_choice: 'required' }, 'tool_choice', 'tool_choice: is only allowed when `tools` are given'],
    [
      { tools: [TIME], tool_choice: 'any' },
      'tool_choice',
      'tool_choice: must be "none", "auto", "required", a function or allowed_tools',
    ],
    [
      { tools: [TIME], tool_choice: { type: 'function', name: 'x' } },
      'tool_choice',
      'tool_choice: names the function `x`, which is not among the tools',
    ],
    [
      { tools: [TIME], tool_choice: { type: 'web_search_preview' } },
      'tool_choice.type',
      'tool_choice.type: must be "function" or "allowed_tools": this server runs no tools of its own',
    ],
    [
      { text: { format: { type: 'xml' } } },
      'text.format.type',
      'text.format.type: must be "text", "json_object" or "json_schema"',
    ],
    [{ text: { format: { type: 'json_schema', name: 'a' } } }, 'text.format.schema', 'text.format.schema: is required'],
    [
      { text: { verbosity: 'low' } },
      'text.verbosity',
      'text.verbosity: is not supported by this server: leave it out or set it to "medium"',
      unsupported,
    ],
    [{ include: ['x'] }, 'include[0]', expect.stringMatching(/^include\[0\]: must be one of message.output_text/)],
    [{ metadata: { a: 1 } }, 'metadata', expect.stringMatching(/^metadata: must be an object of up to 16 strings/)],
    [
      { text: { format: { type: 'json_object' } }, guided_choice: ['a'] },
      'text.format',
      'text.format: is not allowed together with another form of the answer',
    ],
    [{ truncation: 'middle' }, 'truncation', expect.any(String)],
    [
      { background: true },
      'background',
      'background: is not supported by this server: leave it out or set it to false',
      unsupported,
    ],
    [
      { conversation: 'conv_1' },
      'conversation',
      'conversation: is not supported by this server: leave it out',
      unsupported,
    ],
    [{ prompt: { id: 'p' } }, 'prompt', 'prompt: is not supported by this server: leave it out', unsupported],
    [{ n: 2 }, 'n', 'n: is not supported by this server: leave it out or set it to 1', unsupported],
    [{ max_tokens: 5 }, 'max_tokens', 'max_tokens: is not a field of responses: use `max_output_tokens`', unsupported],
    [{ messages: [] }, 'messages', 'messages: is not a field of responses: use `input`', unsupported],
    [
      { response_format: { type: 'json_object' } },
      'response_format',
      'response_format: is not a field of responses: use `text.format`',
      unsupported,
    ],
    [
      { stream_options: { include_obfuscation: false } },
      'stream_options',
      'stream_options: is only allowed when `stream` is true',
    ],
    [
      { stream: true, stream_options: { include_obfuscation: true } },
      'stream_options.include_obfuscation',
      'stream_options.include_obfuscation: is not supported by this server: leave it out or set it to false',
      unsupported,
    ],
    [
      { previous_response_id: 'resp_x' },
      'previous_response_id',
      "Previous response with id 'resp_x' not found.",
      'previous_response_not_found',
    ],
  ])('%j', async (what, param, text, code) => {
    const asked = client();
    const { status, body } = await asked.create(ask(what));
    expect(body).toEqual({ error: { message: text, type: 'invalid_request_error', param, code: code ?? null } });
    expect(status).toBe(400);
    expect(asked.serving.requests).toEqual([]);
  });

  test('also when serving refuses it, under the name that responses have for it', async () => {
    const asked = client();
    asked.serving.generate = async () => {
      throw new ContextLengthError('too long', 'messages');
    };
    expect((await asked.create(ask())).body.error).toMatchObject({ param: 'input', code: 'context_length_exceeded' });
    asked.serving.generate = async () => {
      throw new RequestError('no', { param: 'max_tokens', code: 'c' });
    };
    expect((await asked.create(ask())).body.error).toMatchObject({ param: 'max_output_tokens', code: 'c' });
  });

  test('an unknown model is a 404', async () => {
    const { status, body } = await client().create(ask({ model: 'gpt' }));
    expect([status, body.error.code]).toEqual([404, 'model_not_found']);
  });
});

describe('input tokens', () => {
  test('are counted without an answer', async () => {
    const asked = client();
    const { body } = await asked.count({ input: 'Hi' });
    // Beginning of text, the user's turn of seven bytes, and the beginning of the answer.
    expect(body).toEqual({ object: 'response.input_tokens', input_tokens: 1 + (1 + 7 + 2) + 11 });
    expect(asked.serving.requests).toEqual([]);
  });

  test('are refused for what could not be answered', async () => {
    const { count } = client();
    expect(await count({})).toMatchObject({ status: 400, body: { error: { param: 'input' } } });
    expect(await count({ input: 'x', tool_choice: 'required' })).toMatchObject({
      status: 400,
      body: { error: { param: 'tool_choice' } },
    });
    expect(await count({ input: 'x', model: 'gpt' })).toMatchObject({ status: 404 });
  });
});

describe('truncation', () => {
  const words = (count: number, word: string) => new Array(count).fill(word).join(' ');
  const turns = [
    { role: 'system', content: 'rules' },
    { role: 'user', content: words(1500, 'a') },
    { role: 'assistant', content: words(250, 'b') },
    { role: 'user', content: words(450, 'c') },
    { type: 'function_call', call_id: 'x', name: 'f', arguments: '{}' },
    { type: 'function_call_output', call_id: 'x', output: 'd' },
    { role: 'user', content: 'e' },
  ];

  test('leaves out as few of the oldest turns as possible', async () => {
    const asked = client();
    const contents = async (body: object) => {
      const { status } = await asked.create({ truncation: 'auto', instructions: 'Be kind.', ...body });
      expect(status).toBe(200);
      return asked.messages(asked.serving.requests.length - 1)?.map(({ content }) => content.slice(0, 8));
    };
    expect(await contents({ input: turns })).toEqual(['Be kind.', 'c c c c ', '', 'd', 'e']);
    expect(await contents({ input: turns, max_output_tokens: 3500 })).toEqual(['Be kind.', 'e']);
    expect(await contents({ input: turns.slice(3) })).toEqual(['Be kind.', 'c c c c ', '', 'd', 'e']);
    expect(await contents({ input: [{ role: 'user', content: words(5000, 'z') }] })).toEqual(['Be kind.', 'z z z z ']);
  });

  test('forgets nothing that is stored', async () => {
    const asked = client();
    const { body } = await asked.create({ truncation: 'auto', input: turns });
    expect((await asked.get(`${body.id}/input_items`)).body.data).toHaveLength(turns.length);
  });

  test('disabled sends everything', async () => {
    const asked = client();
    await asked.create({ input: turns });
    expect(asked.messages()).toHaveLength(turns.length);
  });
});
