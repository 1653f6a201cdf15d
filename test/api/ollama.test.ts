import { describe, expect, test } from 'vitest';
import type { GenerationEvent } from '../../src/serving/index.js';
import { ended, everything, said } from '../support/answers.js';
import { post, quietApp } from '../support/api.js';
import { fakeModel, fakeServing, replies, type Script } from '../support/fake-serving.js';

const chat = (extra: object = {}) => ({
  model: 'fake-model',
  messages: [{ role: 'user', content: 'Hi' }],
  stream: false,
  ...extra,
});
const generate = (extra: object = {}) => ({ model: 'fake-model', prompt: 'Hi', stream: false, ...extra });

async function answer(path: string, body: object, script?: Script | readonly GenerationEvent[]) {
  const serving = fakeServing(typeof script === 'object' ? () => script : script);
  const response = await quietApp(serving).request(path, post(body));
  return { serving, response, text: await response.text() };
}

function linesOf(text: string) {
  expect(text.endsWith('\n')).toBe(true);
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
const end = {
  done: true,
  done_reason: 'stop',
  total_duration: expect.any(Number),
  load_duration: 0,
  prompt_eval_count: 10,
  prompt_eval_duration: expect.any(Number),
  eval_count: 3,
  eval_duration: expect.any(Number),
};

describe('POST /api/chat', () => {
  test('answers with exactly the fields of Ollama', async () => {
    const { response, text } = await answer('/api/chat', chat());
    expect(response.status).toBe(200);
    const body = JSON.parse(text);
    expect(body).toEqual({
      model: 'fake-model',
      created_at: time,
      message: { role: 'assistant', content: 'Hello there!' },
      ...end,
    });
    expect(body.total_duration).toBeGreaterThan(0);
    expect(Math.abs(body.total_duration - body.prompt_eval_duration - body.eval_duration)).toBeLessThanOrEqual(2);
  });

  test('streams lines unless it is told not to', async () => {
    const { response, text } = await answer('/api/chat', chat({ stream: undefined }));
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    const head = { model: 'fake-model', created_at: time };
    const line = (content: string) => ({ ...head, message: { role: 'assistant', content }, done: false });
    expect(linesOf(text)).toEqual([
      line('Hello'),
      line(' there'),
      line('!'),
      { ...head, message: { role: 'assistant', content: '' }, ...end },
    ]);
  });

  test('streams what it would answer whole: thoughts, text and calls', async () => {
    const whole = JSON.parse((await answer('/api/chat', chat(), everything)).text);
    expect(whole.message).toEqual({
      role: 'assistant',
      content: 'Let me look.',
      thinking: 'Hm, weather.',
      tool_calls: [
        { id: 'call_1', function: { index: 0, name: 'weather', arguments: { city: 'Köln' } } },
        { id: 'call_2', function: { index: 1, name: 'time', arguments: {} } },
      ],
    });
    expect(whole.done_reason).toBe('stop');
    const lines = linesOf((await answer('/api/chat', chat({ stream: true }), everything)).text);
    const streamed = { role: 'assistant', content: '', thinking: '', tool_calls: [] as unknown[] };
    for (const { message } of lines) {
      streamed.content += message.content;
      streamed.thinking += message.thinking ?? '';
      streamed.tool_calls.push(...(message.tool_calls ?? []));
    }
    expect(streamed).toEqual(whole.message);
    expect(lines.map(({ done }) => done)).toEqual([...lines.slice(1).map(() => false), true]);
  });

  test('gives log-probabilities when asked', async () => {
    const asked = { logprobs: true, top_logprobs: 2 };
    const { serving, text } = await answer('/api/chat', chat(asked), replies('a', 'b'));
    expect(serving.requests[0]?.sampling.logprobs).toBe(2);
    const { logprobs } = JSON.parse(text);
    expect(logprobs).toMatchObject([
      { token: 'a', logprob: -0.25, bytes: [97], top_logprobs: [{ token: 'a' }, { token: 'a?' }] },
      { token: 'b' },
    ]);
    const streamed = linesOf((await answer('/api/chat', chat({ ...asked, stream: true }), replies('a', 'b'))).text);
    expect(streamed.flatMap((line) => line.logprobs ?? [])).toEqual(logprobs);
  });

  test('hands the conversation to the template', async () => {
    const { serving } = await answer(
      '/api/chat',
      chat({
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Weather?', images: [] },
          {
            role: 'assistant',
            content: '',
            thinking: 'Look.',
            tool_calls: [{ function: { name: 'weather', arguments: { city: 'Köln' } } }],
          },
          { role: 'tool', tool_name: 'weather', content: 'rain' },
          { role: 'assistant', content: 'It rains' },
        ],
        tools: [{ type: 'function', function: { name: 'weather', description: 'W', parameters: { type: 'object' } } }],
        think: 'high',
        format: { type: 'object' },
      }),
    );
    expect(serving.requests[0]).toMatchObject({
      prompt: {
        kind: 'chat',
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Weather?' },
          {
            role: 'assistant',
            content: '',
            reasoning_content: 'Look.',
            tool_calls: [
              { id: 'call_0', type: 'function', function: { name: 'weather', arguments: { city: 'Köln' } } },
            ],
          },
          { role: 'tool', name: 'weather', content: 'rain' },
          { role: 'assistant', content: 'It rains' },
        ],
        continueFinalMessage: true,
        templateArguments: { enable_thinking: true, reasoning_effort: 'high' },
      },
      tools: {
        definitions: [{ name: 'weather', description: 'W', parameters: { type: 'object' } }],
        choice: 'auto',
        parallel: true,
      },
      structuredOutput: { kind: 'json_schema', schema: { type: 'object' }, strict: true, param: 'format' },
    });
  });

  test.each([
    [{ messages: [] }, 'load'],
    [{ messages: null, keep_alive: '5m' }, 'load'],
    [{ messages: [], keep_alive: 0 }, 'unload'],
    [{ messages: [], keep_alive: '0s' }, 'unload'],
  ])('without messages says that the model is loaded: %j', async (extra, reason) => {
    const { serving, text } = await answer('/api/chat', chat(extra));
    expect(JSON.parse(text)).toEqual({
      model: 'fake-model',
      created_at: time,
      message: { role: 'assistant', content: '' },
      done: true,
      done_reason: reason,
    });
    expect(serving.requests).toEqual([]);
  });
});

describe('POST /api/generate', () => {
  test('answers with exactly the fields of Ollama', async () => {
    const { text } = await answer('/api/generate', generate());
    expect(JSON.parse(text)).toEqual({ model: 'fake-model', created_at: time, response: 'Hello there!', ...end });
  });

  test('streams what it would answer whole', async () => {
    const events = [
      said({ reasoning: 'Hm' }),
      said({ reasoning: '.', text: 'a' }),
      said({ text: 'b' }),
      ended('length'),
    ];
    const whole = JSON.parse((await answer('/api/generate', generate(), events)).text);
    expect(whole).toMatchObject({ response: 'ab', thinking: 'Hm.', done_reason: 'length' });
    const lines = linesOf((await answer('/api/generate', generate({ stream: true }), events)).text);
    expect(lines.map((line) => line.response).join('')).toBe('ab');
    expect(lines.map((line) => line.thinking ?? '').join('')).toBe('Hm.');
    expect(lines.at(-1)).toMatchObject({ done: true, done_reason: 'length' });
  });

  test('makes a chat of prompt and system, or takes the prompt as it is', async () => {
    const asked = await answer('/api/generate', generate({ system: 'Be brief.', think: false }));
    expect(asked.serving.requests[0]?.prompt).toEqual({
      kind: 'chat',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hi' },
      ],
      templateArguments: { enable_thinking: false },
    });
    const raw = await answer('/api/generate', generate({ raw: true }));
    expect(raw.serving.requests[0]?.prompt).toEqual({ kind: 'text', text: 'Hi' });
    const gap = await answer('/api/generate', generate({ suffix: '}' }));
    expect(gap.serving.requests[0]?.prompt).toEqual({ kind: 'fill', prefix: 'Hi', suffix: '}' });
  });

  test('without a prompt says that the model is loaded', async () => {
    const { text } = await answer('/api/generate', { model: 'fake-model' });
    expect(JSON.parse(text)).toEqual({
      model: 'fake-model',
      created_at: time,
      response: '',
      done: true,
      done_reason: 'load',
    });
  });

  test('ends with an error line when the engine stops on the way', async () => {
    const { response, text } = await answer('/api/generate', generate({ stream: true }), [
      said({ text: 'half' }),
      ended('error'),
    ]);
    expect(response.status).toBe(200);
    expect(linesOf(text).at(-1)).toEqual({ error: expect.stringContaining('Send the request again') });
  });
});

describe('options', () => {
  test('are Ollama’s where they are left out', async () => {
    const { serving } = await answer('/api/generate', generate());
    expect(serving.requests[0]?.sampling).toEqual({ temperature: 0.8, topK: 40, topP: 0.9, logprobs: null });
  });

  test('arrive under their own names', async () => {
    const { serving } = await answer(
      '/api/generate',
      generate({
        format: 'json',
        options: {
          temperature: 0,
          top_k: -1,
          top_p: 0.5,
          min_p: 0.1,
          typical_p: 0.9,
          repeat_penalty: 1.2,
          repeat_last_n: 64,
          presence_penalty: 1,
          frequency_penalty: -1,
          seed: 7,
          num_predict: 5,
          stop: ['END'],
          num_ctx: 2048,
          nobody_knows: true,
        },
      }),
    );
    expect(serving.requests[0]).toMatchObject({
      stop: ['END'],
      structuredOutput: { kind: 'json_object' },
      sampling: {
        temperature: 0,
        topK: 0,
        topP: 0.5,
        minP: 0.1,
        typicalP: 0.9,
        repetitionPenalty: 1.2,
        presencePenalty: 1,
        frequencyPenalty: -1,
        seed: 7,
        maxTokens: 5,
      },
    });
  });

  test('that stand for nothing are nothing', async () => {
    const options = { seed: -1, num_predict: -1, repeat_last_n: 0, repeat_penalty: 1.5, stop: null };
    const { serving } = await answer('/api/generate', generate({ options, format: '' }));
    const bare = await answer('/api/generate', generate());
    expect({ ...serving.requests[0], id: '' }).toEqual({ ...bare.serving.requests[0], id: '' });
  });
});

describe('embeddings', () => {
  const asked = { id: expect.stringMatching(/^ollama-/), model: 'fake-model', field: expect.any(Function) };

  test('are vectors of length 1 for one text or several', async () => {
    const body = { model: 'fake-model:latest', input: ['a', 'bc'], dimensions: 3, options: {}, keep_alive: '5m' };
    const { serving, response, text } = await answer('/api/embed', body);
    expect(response.status).toBe(200);
    expect(JSON.parse(text)).toEqual({
      model: 'fake-model:latest',
      embeddings: [[...Float32Array.of(0.6, 0.8, 2, 97)], [...Float32Array.of(0.6, 0.8, 3, 98)]],
      total_duration: expect.any(Number),
      load_duration: 0,
      prompt_eval_count: 5,
    });
    expect(serving.embeddings).toEqual([
      {
        ...asked,
        prompts: [
          { kind: 'text', text: 'a' },
          { kind: 'text', text: 'bc' },
        ],
        dimensions: 3,
        truncatePromptTokens: -1,
      },
    ]);
    expect(serving.embeddings[0]?.field(1)).toBe('input[1]');
    const one = await answer('/api/embed', { model: 'fake-model', input: 'a', truncate: false });
    expect(JSON.parse(one.text).embeddings).toHaveLength(1);
    expect(one.serving.embeddings[0]?.truncatePromptTokens).toBeUndefined();
    const none = await answer('/api/embed', { model: 'fake-model', input: [] });
    expect(JSON.parse(none.text)).toMatchObject({ embeddings: [], prompt_eval_count: 0 });
  });

  test('were once asked for by another name, and are as long as the model made them there', async () => {
    const { serving, text } = await answer('/api/embeddings', { model: 'fake-model', prompt: 'a' });
    expect(JSON.parse(text)).toEqual({ embedding: [...Float32Array.of(0.6, 0.8, 2, 97)] });
    expect(serving.embeddings).toEqual([
      { ...asked, prompts: [{ kind: 'text', text: 'a' }], normalize: false, truncatePromptTokens: -1 },
    ]);
    expect(JSON.parse((await answer('/api/embeddings', { model: 'fake-model', prompt: '' })).text).embedding).toEqual(
      [],
    );
  });
});

describe('models', () => {
  const app = quietApp(fakeServing());
  const details = {
    parent_model: '',
    format: 'gguf',
    family: 'fake',
    families: ['fake'],
    parameter_size: '1.0B',
    quantization_level: 'Q8_0',
  };

  test('are listed, as loaded ones too', async () => {
    const listed = {
      name: 'fake-model:latest',
      model: 'fake-model:latest',
      size: 1_000_000_000,
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      details,
    };
    expect(await (await app.request('/api/tags')).json()).toEqual({
      models: [{ ...listed, modified_at: '2023-11-14T22:13:20.000Z' }],
    });
    expect(await (await app.request('/api/ps')).json()).toEqual({
      models: [{ ...listed, expires_at: expect.any(String), size_vram: 0, context_length: 4096 }],
    });
  });

  test('are shown, and known with the tag that clients add', async () => {
    for (const body of [{ model: 'fake-model' }, { name: 'fake-model:latest' }]) {
      expect(await (await app.request('/api/show', post(body))).json()).toEqual({
        details,
        model_info: {
          'general.architecture': 'fake',
          'general.parameter_count': 1_000_000_000,
          'fake.context_length': 4096,
          'fake.embedding_length': 4,
          'fake.vocab_size': 256,
        },
        capabilities: ['completion', 'tools'],
        modified_at: '2023-11-14T22:13:20.000Z',
      });
    }
    const { serving } = await answer('/api/generate', generate({ model: 'fake-model:latest' }));
    expect(serving.requests[0]?.model).toBe('fake-model');
  });

  test('have the types of their weights as Ollama writes them', async () => {
    const serving = fakeServing();
    const info = { ...fakeModel.info, modelDescription: 'llama 8B Q4_K - Medium', parameters: 134_515_008 };
    serving.models = () => [{ ...fakeModel, id: 'llama:8b', info }];
    const { models } = (await (await quietApp(serving).request('/api/tags')).json()) as { models: object[] };
    expect(models).toMatchObject([
      { name: 'llama:8b', details: { family: 'llama', parameter_size: '134.5M', quantization_level: 'Q4_K_M' } },
    ]);
  });

  test('have a server with a version', async () => {
    expect(await (await app.request('/api/version')).json()).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    });
  });
});

describe('what is wrong is told in Ollama’s shape', () => {
  test.each([
    ['/api/chat', { messages: [] }, 'model: is required'],
    [
      '/api/chat',
      chat({ messages: [{ role: 'user', images: ['aGk='] }] }),
      'messages[0].images: this model is text-only',
    ],
    ['/api/chat', chat({ messages: [{ role: 'robot', content: 'x' }] }), 'messages[0].role: must be'],
    ['/api/generate', generate({ images: ['aGk='] }), 'images: this model is text-only'],
    ['/api/generate', generate({ template: '{{ .Prompt }}' }), 'template: is not supported'],
    ['/api/generate', generate({ context: [1] }), 'context: is not supported'],
    ['/api/generate', generate({ raw: true, system: 'x' }), 'system: is not allowed with `raw`'],
    ['/api/generate', generate({ options: { mirostat: 2 } }), 'options.mirostat: is not supported'],
    ['/api/generate', generate({ format: 'yaml' }), 'format: must be "json" or a JSON schema'],
    ['/api/show', {}, 'model: is required'],
    ['/api/embed', { model: 'fake-model', input: [1] }, 'input'],
    ['/api/embed', { input: 'a' }, 'model: is required'],
    ['/api/embeddings', { model: 'fake-model' }, 'prompt: is required'],
  ])('%s %j', async (path, body, message) => {
    const { response, text, serving } = await answer(path, body);
    expect(response.status).toBe(400);
    expect(JSON.parse(text)).toEqual({ error: expect.stringContaining(message) });
    expect(serving.requests).toEqual([]);
  });

  test('an unknown model, and a missing key', async () => {
    const unknown = await answer('/api/chat', chat({ model: 'nobody:latest' }));
    expect(unknown.response.status).toBe(404);
    expect(JSON.parse(unknown.text)).toEqual({ error: expect.stringContaining('nobody') });
    const app = quietApp(fakeServing(), { apiKeys: ['k'] });
    for (const [path, request] of [
      ['/api/chat', post(chat())],
      ['/api/tags', {}],
    ] as const) {
      const refused = await app.request(path, request);
      expect(refused.status).toBe(401);
      expect(await refused.json()).toEqual({ error: expect.any(String) });
    }
    expect((await app.request('/api/chat', post(chat(), { Authorization: 'Bearer k' }))).status).toBe(200);
  });

  test('a body without a content type is JSON all the same', async () => {
    const app = quietApp(fakeServing(), { maxBodyBytes: 1000 });
    const bare = (body: string) => ({
      method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
      body,
    });
    expect((await app.request('/api/generate', bare(JSON.stringify(generate())))).status).toBe(200);
    const broken = await app.request('/api/generate', bare('{'));
    expect(broken.status).toBe(400);
    expect(await broken.json()).toEqual({ error: 'The request body is not valid JSON.' });
    expect(
      (await app.request('/api/generate', bare(JSON.stringify(generate({ prompt: 'x'.repeat(999) }))))).status,
    ).toBe(413);
  });
});
