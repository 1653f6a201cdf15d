import { describe, expect, test } from 'vitest';
import { chat, chunksOf, eventData, post, quietApp } from '../support/api.js';
import { call, delta, fakeServing, finish, replies, type Script, thought } from '../support/fake-serving.js';

const URL = '/v1/chat/completions';
const ID = expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/);

async function answer(body: object, script?: Script) {
  const serving = fakeServing(script);
  const response = await quietApp(serving).request(URL, post(body));
  return { serving, response, text: await response.text() };
}

describe('a whole chat completion', () => {
  test('has exactly the fields of the OpenAI API', async () => {
    const before = Math.floor(Date.now() / 1000);
    const { response, text } = await answer(chat());
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('application/json');
    const body = JSON.parse(text);
    expect(body.created).toBeGreaterThanOrEqual(before);
    expect(body).toEqual({
      id: ID,
      object: 'chat.completion',
      created: expect.any(Number),
      model: 'fake-model',
      system_fingerprint: expect.stringMatching(/^fp_[0-9a-f]{12}$/),
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: 'Hello there!', refusal: null },
          logprobs: null,
          finish_reason: 'stop',
          stop_reason: null,
        },
      ],
      usage: {
        prompt_tokens: 10,
        completion_tokens: 3,
        total_tokens: 13,
        prompt_tokens_details: { cached_tokens: 4 },
      },
    });
  });

  test('keeps its choices apart and in order', async () => {
    const script: Script = function* () {
      yield delta(1, 'b');
      yield delta(0, 'a');
      yield finish(1, 'length');
      yield delta(0, 'A');
      yield finish(0, 'stop', '\n');
    };
    const { text } = await answer(chat({ n: 2 }), script);
    expect(JSON.parse(text).choices).toEqual([
      expect.objectContaining({
        index: 0,
        message: { role: 'assistant', content: 'aA', refusal: null },
        finish_reason: 'stop',
        stop_reason: '\n',
      }),
      expect.objectContaining({
        index: 1,
        message: { role: 'assistant', content: 'b', refusal: null },
        finish_reason: 'length',
        stop_reason: null,
      }),
    ]);
  });

  test('gives log-probabilities with their alternatives, and -9999 for impossible tokens', async () => {
    const { serving, text } = await answer(chat({ logprobs: true, top_logprobs: 3 }), replies('é'));
    expect(serving.requests[0]?.sampling.logprobs).toBe(3);
    expect(JSON.parse(text).choices[0].logprobs).toEqual({
      content: [
        {
          token: 'é',
          logprob: -0.25,
          bytes: [195, 169],
          top_logprobs: [
            { token: 'é', logprob: -0.25, bytes: [195, 169] },
            { token: 'é?', logprob: -1.5, bytes: [195, 169, 63] },
            { token: 'é…', logprob: -9999, bytes: [195, 169, 226, 128, 166] },
          ],
        },
      ],
      refusal: null,
    });
  });

  test('is a 503 when the engine stops before its end', async () => {
    const { response, text } = await answer(chat(), () => [delta(0, 'half'), finish(0, 'error')]);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
    expect(JSON.parse(text).error).toMatchObject({ type: 'server_error', code: 'engine_unavailable' });
  });
});

describe('a streamed chat completion', () => {
  test('begins with the role, goes on with content, and ends with the finish reason and [DONE]', async () => {
    const { response, text } = await answer(chat({ stream: true }));
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
    expect(response.headers.get('cache-control')).toBe('no-cache');
    const head = {
      id: ID,
      object: 'chat.completion.chunk',
      created: expect.any(Number),
      model: 'fake-model',
      system_fingerprint: expect.stringMatching(/^fp_[0-9a-f]{12}$/),
    };
    const choice = (content: object) => ({ index: 0, delta: content, logprobs: null, finish_reason: null });
    const chunks = chunksOf(text);
    expect(chunks).toEqual([
      { ...head, choices: [choice({ role: 'assistant', content: '', refusal: null })] },
      { ...head, choices: [choice({ content: 'Hello' })] },
      { ...head, choices: [choice({ content: ' there' })] },
      { ...head, choices: [choice({ content: '!' })] },
      { ...head, choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: 'stop', stop_reason: null }] },
    ]);
    expect(new Set(chunks.map((chunk) => chunk.id)).size).toBe(1);
  });

  test('interleaves its choices, each with a role and a finish of its own', async () => {
    const { text } = await answer(chat({ stream: true, n: 2 }), replies('x'));
    const order = chunksOf(text).map((chunk) => {
      const [choice] = chunk.choices as { index: number; delta: object; finish_reason: string | null }[];
      return [choice?.index, choice?.finish_reason ?? Object.keys(choice?.delta ?? {})[0]];
    });
    expect(order).toEqual([
      [0, 'role'],
      [0, 'content'],
      [1, 'role'],
      [1, 'content'],
      [0, 'stop'],
      [1, 'stop'],
    ]);
  });

  test('ends with the usage when asked, and has null for it before', async () => {
    const { text } = await answer(chat({ stream: true, stream_options: { include_usage: true } }));
    const chunks = chunksOf(text);
    const last = chunks.pop();
    expect(chunks.map((chunk) => chunk.usage)).toEqual([null, null, null, null, null]);
    expect(last).toMatchObject({
      id: ID,
      choices: [],
      usage: {
        prompt_tokens: 10,
        completion_tokens: 3,
        total_tokens: 13,
        prompt_tokens_details: { cached_tokens: 4 },
      },
    });
  });

  test('has the usage so far in every chunk when asked', async () => {
    const { text } = await answer(chat({ stream: true, stream_options: { continuous_usage_stats: true } }));
    const totals = chunksOf(text).map((chunk) => (chunk.usage as { completion_tokens: number }).completion_tokens);
    expect(totals).toEqual([1, 1, 2, 3, 3]);
  });

  test('carries log-probabilities with the text they belong to', async () => {
    const { text } = await answer(chat({ stream: true, logprobs: true }), replies('a', 'b'));
    const tokens = chunksOf(text).flatMap((chunk) => {
      const [choice] = chunk.choices as {
        logprobs: { content: { token: string; top_logprobs: unknown[] }[] } | null;
      }[];
      return choice?.logprobs?.content ?? [];
    });
    expect(tokens).toMatchObject([
      { token: 'a', logprob: -0.25, top_logprobs: [] },
      { token: 'b', logprob: -0.25, top_logprobs: [] },
    ]);
  });

  test('sends no chunk for a delta that says nothing', async () => {
    const { text } = await answer(chat({ stream: true }), () => [delta(0, ''), delta(0, 'a'), finish(0, 'stop')]);
    const contents = chunksOf(text).map((chunk) => (chunk.choices as { delta: object }[])[0]?.delta);
    expect(contents).toEqual([{ role: 'assistant', content: '', refusal: null }, { content: 'a' }, {}]);
  });

  test('survives text that JSON must escape and text that is no Unicode', async () => {
    const said = ['"\\\n\u2028', '\ud800', '\u0000', '👍'];
    const { text } = await answer(chat({ stream: true }), replies(...said));
    const contents = chunksOf(text).map(
      (chunk) => (chunk.choices as { delta: { content?: string } }[])[0]?.delta.content,
    );
    expect(contents.slice(1, -1)).toEqual(said);
  });

  test('ends with an error event and no [DONE] when the engine stops on the way', async () => {
    const { response, text } = await answer(chat({ stream: true }), () => [delta(0, 'half'), finish(0, 'error')]);
    expect(response.status).toBe(200);
    const data = eventData(text);
    expect(JSON.parse(data.at(-1) as string)).toEqual({
      error: {
        message: 'The engine stopped before the answer was complete. Send the request again.',
        type: 'server_error',
        param: null,
        code: 'engine_unavailable',
      },
    });
    expect(data).not.toContain('[DONE]');
    expect(text).toContain('half');
  });

  test('aborts its other choices when one of them fails', async () => {
    const script: Script = async function* () {
      yield delta(0, 'a');
      yield finish(1, 'error');
      await new Promise(() => {});
    };
    const { serving, text } = await answer(chat({ stream: true, n: 2 }), script);
    expect(text).toContain('engine_unavailable');
    expect(serving.aborted).toEqual([serving.requests[0]?.id]);
  });

  test('has a proper status when it fails before its first token', async () => {
    const { response } = await answer(chat({ stream: true }), () => [finish(0, 'error')]);
    expect(response.status).toBe(503);
  });

  test('does not show clients what the server stumbled over', async () => {
    const script: Script = function* () {
      yield delta(0, 'a');
      throw new Error('secret path /etc/quire');
    };
    const { text } = await answer(chat({ stream: true }), script);
    expect(text).not.toContain('secret');
    expect(JSON.parse(eventData(text).at(-1) as string).error.type).toBe('server_error');
  });
});

describe('what serving is asked for', () => {
  test('every sampling parameter arrives under its own name', async () => {
    const { serving } = await answer(
      chat({
        model: 'fake-model',
        temperature: 0.5,
        top_p: 0.9,
        top_k: 40,
        min_p: 0.05,
        typical_p: 0.95,
        presence_penalty: 1,
        frequency_penalty: -1,
        repetition_penalty: 1.1,
        logit_bias: { 5: -100, 7: 1.5 },
        seed: 42,
        n: 1,
        max_tokens: 7,
        min_tokens: 2,
        stop: ['a', 'b'],
        stop_token_ids: [3],
        ignore_eos: true,
        include_stop_str_in_output: true,
        skip_special_tokens: false,
        priority: -1,
        cache_salt: 'pepper',
        add_generation_prompt: false,
        chat_template_kwargs: { enable_thinking: false },
        reasoning_effort: 'low',
        user: 'someone',
        metadata: { any: 'thing' },
        store: false,
      }),
    );
    expect(serving.requests).toEqual([
      {
        id: ID,
        model: 'fake-model',
        n: 1,
        prompt: {
          kind: 'chat',
          messages: [{ role: 'user', content: 'Hi' }],
          addGenerationPrompt: false,
          continueFinalMessage: undefined,
          templateArguments: { enable_thinking: false, reasoning_effort: 'low' },
        },
        tools: undefined,
        separateReasoning: true,
        stop: ['a', 'b'],
        includeStopInOutput: true,
        keepSpecialTokens: true,
        priority: -1,
        cacheSalt: 'pepper',
        sampling: {
          temperature: 0.5,
          topK: 40,
          topP: 0.9,
          minP: 0.05,
          typicalP: 0.95,
          repetitionPenalty: 1.1,
          presencePenalty: 1,
          frequencyPenalty: -1,
          logitBias: [
            [5, -100],
            [7, 1.5],
          ],
          seed: 42,
          minTokens: 2,
          maxTokens: 7,
          ignoreEos: true,
          stopTokenIds: [3],
          logprobs: null,
        },
      },
    ]);
  });

  test('null is the same as leaving a field out', async () => {
    const fields = [
      ...[
        'model',
        'n',
        'max_tokens',
        'max_completion_tokens',
        'stop',
        'stream',
        'stream_options',
        'user',
        'temperature',
      ],
      ...['top_p', 'top_k', 'min_p', 'typical_p', 'presence_penalty', 'frequency_penalty', 'repetition_penalty'],
      ...['logit_bias', 'seed', 'min_tokens', 'stop_token_ids', 'ignore_eos', 'include_stop_str_in_output'],
      ...['skip_special_tokens', 'priority', 'cache_salt', 'logprobs', 'top_logprobs', 'add_generation_prompt'],
      ...['chat_template_kwargs', 'reasoning_effort', 'tools', 'tool_choice', 'response_format', 'audio', 'functions'],
    ];
    const nulls = Object.fromEntries(fields.map((field) => [field, null]));
    const { response, serving } = await answer(chat(nulls));
    const bare = await answer(chat());
    expect(response.status).toBe(200);
    expect({ ...serving.requests[0], id: '' }).toEqual({ ...bare.serving.requests[0], id: '' });
  });

  test('top_k -1 means all, stop may be one string, max_completion_tokens wins over max_tokens', async () => {
    const { serving } = await answer(chat({ top_k: -1, stop: 'END', max_tokens: 5, max_completion_tokens: 9 }));
    expect(serving.requests[0]).toMatchObject({ stop: ['END'], sampling: { topK: 0, maxTokens: 9 } });
  });

  test('text parts are joined, developers are the system, and absent content is empty', async () => {
    const { serving } = await answer({
      messages: [
        { role: 'developer', content: 'Be brief.' },
        {
          role: 'user',
          name: 'Ann',
          content: [
            { type: 'text', text: 'one' },
            { type: 'text', text: 'two' },
          ],
        },
        { role: 'assistant', content: null },
      ],
    });
    expect(serving.requests[0]?.prompt).toMatchObject({
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', name: 'Ann', content: 'one\ntwo' },
        { role: 'assistant', content: '' },
      ],
    });
  });

  test('fields that nobody knows are ignored, and so are unsupported ones that ask for nothing', async () => {
    const { response } = await answer(
      chat({
        no_such_field: [1],
        tools: [],
        tool_choice: 'auto',
        parallel_tool_calls: true,
        response_format: { type: 'text' },
        modalities: ['text'],
        service_tier: 'auto',
        use_beam_search: false,
      }),
    );
    expect(response.status).toBe(200);
  });
});

describe('a chat with tools', () => {
  const tools = [
    {
      type: 'function',
      function: { name: 'weather', description: 'Of a city', parameters: { type: 'object', properties: { city: {} } } },
    },
    { type: 'function', function: { name: 'time' } },
  ];

  const calling: Script = function* () {
    yield thought(0, 'Which ');
    yield thought(0, 'city?');
    yield delta(0, 'Let me see.');
    yield* call(0, 0, 'weather', '{"city":', '"Oslo"}');
    yield* call(0, 1, 'time', '{}');
    yield finish(0, 'tool_calls');
  };

  const wireCalls = [
    { id: 'call_0', type: 'function', function: { name: 'weather', arguments: '{"city":"Oslo"}' } },
    { id: 'call_1', type: 'function', function: { name: 'time', arguments: '{}' } },
  ];

  test('gets calls, reasoning and text apart', async () => {
    const { serving, text } = await answer(chat({ tools, parallel_tool_calls: false }), calling);
    expect(serving.requests[0]?.tools).toEqual({
      definitions: [
        { name: 'weather', description: 'Of a city', parameters: { type: 'object', properties: { city: {} } } },
        { name: 'time', description: undefined, parameters: undefined },
      ],
      choice: 'auto',
      parallel: false,
    });
    expect(JSON.parse(text).choices[0]).toMatchObject({
      message: {
        role: 'assistant',
        content: 'Let me see.',
        reasoning_content: 'Which city?',
        tool_calls: wireCalls,
        refusal: null,
      },
      finish_reason: 'tool_calls',
    });
  });

  test('gets them streamed, as deltas that the whole is made of', async () => {
    const { text } = await answer(chat({ tools, stream: true }), calling);
    const choices = eventData(text)
      .slice(0, -1)
      .map((json) => JSON.parse(json).choices[0]);
    expect(choices.map((choice) => choice.delta)).toEqual([
      { role: 'assistant', content: '', refusal: null },
      { reasoning_content: 'Which ' },
      { reasoning_content: 'city?' },
      { content: 'Let me see.' },
      { tool_calls: [{ index: 0, id: 'call_0', type: 'function', function: { name: 'weather', arguments: '' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '{"city":' } }] },
      { tool_calls: [{ index: 0, function: { arguments: '"Oslo"}' } }] },
      { tool_calls: [{ index: 1, id: 'call_1', type: 'function', function: { name: 'time', arguments: '' } }] },
      { tool_calls: [{ index: 1, function: { arguments: '{}' } }] },
      {},
    ]);
    expect(choices.at(-1)?.finish_reason).toBe('tool_calls');
  });

  test('has null for content when there is none, and leaves reasoning out when it is not wanted', async () => {
    const script: Script = () => [thought(0, 'Hm.'), ...call(0, 0, 'time', '{}'), finish(0, 'tool_calls')];
    const whole = await answer(chat({ tools, include_reasoning: false }), script);
    expect(JSON.parse(whole.text).choices[0].message).toEqual({
      role: 'assistant',
      content: null,
      tool_calls: [{ id: 'call_0', type: 'function', function: { name: 'time', arguments: '{}' } }],
      refusal: null,
    });
    const { text } = await answer(chat({ tools, include_reasoning: false, stream: true }), script);
    expect(text).not.toContain('Hm.');
  });

  test('ends with `stop` when the client chose the tool, as with OpenAI', async () => {
    const choice = { type: 'function', function: { name: 'time' } };
    const { serving, text } = await answer(chat({ tools, tool_choice: choice }), calling);
    expect(serving.requests[0]?.tools?.choice).toEqual({ name: 'time' });
    expect(JSON.parse(text).choices[0].finish_reason).toBe('stop');
  });

  test('hands calls and their results to the template, arguments as an object', async () => {
    const { serving } = await answer({
      messages: [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: null, reasoning_content: 'Which city?', tool_calls: wireCalls },
        { role: 'tool', tool_call_id: 'call_0', content: 'Rain' },
      ],
    });
    expect(serving.requests[0]?.prompt).toMatchObject({
      messages: [
        { role: 'user', content: 'Hi' },
        {
          role: 'assistant',
          content: '',
          reasoning_content: 'Which city?',
          tool_calls: [
            { id: 'call_0', type: 'function', function: { name: 'weather', arguments: { city: 'Oslo' } } },
            { id: 'call_1', type: 'function', function: { name: 'time', arguments: {} } },
          ],
        },
        { role: 'tool', tool_call_id: 'call_0', content: 'Rain' },
      ],
    });
  });
});

test('a chat can be continued, reason or not, and hears of its tier', async () => {
  const { serving, text } = await answer(
    chat({ continue_final_message: true, reasoning_effort: 'none', reasoning_format: 'none', service_tier: 'flex' }),
  );
  expect(serving.requests[0]).toMatchObject({
    prompt: { continueFinalMessage: true, templateArguments: { reasoning_effort: 'none', enable_thinking: false } },
    separateReasoning: false,
  });
  expect(JSON.parse(text).service_tier).toBe('flex');
});

test('log-probabilities of the prompt come by token id, and not in streams', async () => {
  const { serving, text } = await answer(chat({ prompt_logprobs: 1 }));
  expect(serving.requests[0]?.promptLogprobs).toBe(1);
  expect(JSON.parse(text).prompt_logprobs).toEqual([null, { 1: { logprob: -0.25, rank: 2, decoded_token: 'p' } }]);
  expect(JSON.parse((await answer(chat())).text)).not.toHaveProperty('prompt_logprobs');
  const streamed = await answer(chat({ prompt_logprobs: 1, stream: true }));
  expect(streamed.response.status).toBe(400);
  expect(JSON.parse(streamed.text).error.param).toBe('prompt_logprobs');
});
