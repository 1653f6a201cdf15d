import OpenAI, { APIConnectionError, AuthenticationError, BadRequestError, NotFoundError } from 'openai';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createServer, type QuireServer } from '../../src/api/create-server.js';
import { createLogger } from '../../src/telemetry/index.js';
import { defaultModelPath } from '../support/default-model.js';

const MODEL = 'default-model';
const API_KEY = 'sk-test';
const MESSAGES = [{ role: 'user' as const, content: 'What is gravity?' }];
/** Greedy and short: the same answer every time. */
const BRIEF = { model: MODEL, temperature: 0, max_tokens: 24 };

let server: QuireServer;
let client: OpenAI;
let baseURL: string;

beforeAll(async () => {
  server = createServer({
    model: await defaultModelPath(),
    servedModelName: [MODEL],
    maxModelLen: 2048,
    apiKeys: [API_KEY],
    logger: createLogger({ level: 'warn' }),
  });
  const [{ url }] = await Promise.all([server.listen({ port: 0 }), server.serving.whenReady()]);
  baseURL = `${url}/v1`;
  client = new OpenAI({ baseURL, apiKey: API_KEY, maxRetries: 0 });
});

afterAll(() => server?.close(0));

test('log-probabilities of a prompt, by token id', async () => {
  const body = { ...BRIEF, prompt: 'Gravity is a force', max_tokens: 1, prompt_logprobs: 1 };
  const { choices } = await client.completions.create(body);
  const [first, ...others] = (choices[0] as unknown as { prompt_logprobs: (object | null)[] }).prompt_logprobs;
  expect(first).toBeNull();
  expect(others.length).toBeGreaterThan(2);
  for (const token of others) expect(Object.values(token!)).toContainEqual(expect.objectContaining({ rank: 1 }));
});

describe('chat completions', () => {
  test('answer with text and usage', async () => {
    const completion = await client.chat.completions.create({ ...BRIEF, messages: MESSAGES });
    expect(completion.object).toBe('chat.completion');
    expect(completion.model).toBe(MODEL);
    expect(completion.choices[0]?.message.content).toMatch(/gravity/i);
    expect(completion.choices[0]?.finish_reason).toBe('length');
    expect(completion.usage).toMatchObject({ completion_tokens: 24 });
    expect(completion.usage?.total_tokens).toBe(24 + (completion.usage?.prompt_tokens ?? 0));
  });

  test('stream the same text as they answer at once, with usage last', async () => {
    const whole = await client.chat.completions.create({ ...BRIEF, messages: MESSAGES });
    const stream = await client.chat.completions.create({
      ...BRIEF,
      messages: MESSAGES,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = '';
    const finishReasons: string[] = [];
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      if (chunk.choices[0]?.finish_reason) finishReasons.push(chunk.choices[0].finish_reason);
      usage = chunk.usage;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(finishReasons).toEqual(['length']);
    expect(usage).toMatchObject({ prompt_tokens: whole.usage?.prompt_tokens, completion_tokens: 24 });
  });

  test("work with the client's stream helper", async () => {
    const stream = client.chat.completions.stream({ ...BRIEF, messages: MESSAGES });
    let deltas = '';
    stream.on('content', (delta) => {
      deltas += delta;
    });
    const final = await stream.finalChatCompletion();
    expect(final.choices[0]?.message.content).toBe(deltas);
    expect(deltas).not.toBe('');
  });

  test('give several choices, the same ones for the same seed', async () => {
    const ask = async () => {
      const completion = await client.chat.completions.create({
        ...BRIEF,
        messages: MESSAGES,
        temperature: 1,
        seed: 7,
        n: 3,
      });
      return completion.choices.map((choice) => choice.message.content);
    };
    const texts = await ask();
    expect(new Set(texts).size).toBe(3);
    expect(await ask()).toEqual(texts);
  });

  test('give log-probabilities whose texts add up to the answer', async () => {
    const completion = await client.chat.completions.create({
      ...BRIEF,
      messages: MESSAGES,
      logprobs: true,
      top_logprobs: 3,
    });
    const [choice] = completion.choices;
    const tokens = choice?.logprobs?.content ?? [];
    expect(tokens).toHaveLength(24);
    const bytes = tokens.flatMap((token) => token.bytes ?? []);
    expect(Buffer.from(bytes).toString()).toBe(choice?.message.content);
    for (const token of tokens) {
      expect(token.top_logprobs).toHaveLength(3);
      // Greedy: the chosen token is the likeliest.
      expect(token.top_logprobs[0]).toMatchObject({ token: token.token, logprob: token.logprob });
    }
  });

  test('end before a stop string', async () => {
    const whole = await client.chat.completions.create({ ...BRIEF, messages: MESSAGES });
    const text = whole.choices[0]?.message.content ?? '';
    const stop = text.slice(10, 14);
    const stopped = await client.chat.completions.create({ ...BRIEF, messages: MESSAGES, stop });
    expect(stopped.choices[0]?.finish_reason).toBe('stop');
    expect(stopped.choices[0]?.message.content).toBe(text.slice(0, text.indexOf(stop)));
  });

  test('can be left on the way, and the next one is answered', async () => {
    const stream = await client.chat.completions.create({
      ...BRIEF,
      max_tokens: 1000,
      messages: MESSAGES,
      stream: true,
    });
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) break;
    }
    const next = await client.chat.completions.create({ ...BRIEF, messages: MESSAGES });
    expect(next.choices[0]?.finish_reason).toBe('length');
  });
});

describe('completions', () => {
  test('answer several prompts in their order, streamed as well as whole', async () => {
    const prompt = ['The sun is', 'Water is made of'];
    const whole = await client.completions.create({ ...BRIEF, prompt, echo: true });
    expect(whole.choices.map((choice) => choice.index)).toEqual([0, 1]);
    for (const choice of whole.choices) expect(choice.text.startsWith(prompt[choice.index] as string)).toBe(true);

    const texts = ['', ''];
    const stream = await client.completions.create({ ...BRIEF, prompt, echo: true, stream: true });
    for await (const chunk of stream) {
      for (const choice of chunk.choices) texts[choice.index] += choice.text;
    }
    expect(texts).toEqual(whole.choices.map((choice) => choice.text));
  });

  test('give legacy log-probabilities', async () => {
    const { choices } = await client.completions.create({ ...BRIEF, prompt: 'The sun is', logprobs: 2 });
    expect(choices[0]?.logprobs?.tokens).toHaveLength(24);
    expect(choices[0]?.logprobs?.text_offset?.[0]).toBe(0);
  });
});

describe('what vLLM has besides', () => {
  const prompt = 'The sun is';

  test('evaluations get the log-probabilities of a prompt, and nothing else', async () => {
    const { tokens } = (await (
      await fetch(new URL('/tokenize', baseURL), {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${API_KEY}` },
        body: JSON.stringify({ prompt }),
      })
    ).json()) as { tokens: number[] };
    const ask = { model: MODEL, prompt: tokens, echo: true, logprobs: 1, max_tokens: 0 };
    const { choices, usage } = await client.completions.create(ask);
    expect(choices[0]).toMatchObject({ text: prompt, finish_reason: 'length' });
    expect(choices[0]?.logprobs?.tokens?.join('')).toBe(prompt);
    expect(choices[0]?.logprobs?.token_logprobs?.[0]).toBeNull();
    expect(choices[0]?.logprobs?.token_logprobs?.slice(1).every((logprob) => logprob < 0)).toBe(true);
    expect(usage?.completion_tokens).toBe(0);
  });

  test('words can be forbidden, and tokens allowed', async () => {
    const free = await client.completions.create({ ...BRIEF, prompt });
    const [word] = /[a-z]+/.exec(free.choices[0]!.text)!;
    const without = { ...BRIEF, prompt, bad_words: [word], return_token_ids: true, ignore_eos: true };
    const other = (await client.completions.create(without)).choices[0] as unknown as {
      text: string;
      token_ids: number[];
    };
    expect(other.text).not.toMatch(new RegExp(`\\b${word}\\b`));
    expect(other.token_ids).toHaveLength(24);
    const allowed = other.token_ids.slice(0, 2);
    const only = (await client.completions.create({ ...without, allowed_token_ids: allowed } as typeof without))
      .choices;
    expect(allowed).toEqual(expect.arrayContaining((only[0] as unknown as typeof other).token_ids));
  });
});

describe('responses', () => {
  const brief = { model: MODEL, temperature: 0, max_output_tokens: 24 };

  test('stream the same text as they answer at once', async () => {
    const whole = await client.responses.create({ ...brief, input: 'What is gravity?' });
    expect(whole).toMatchObject({ status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } });
    expect(whole.output_text).toMatch(/gravity/i);
    const stream = client.responses.stream({ ...brief, input: 'What is gravity?' });
    let text = '';
    stream.on('response.output_text.delta', (event) => {
      text += event.delta;
    });
    const final = await stream.finalResponse();
    expect([text, final.output_text]).toEqual([whole.output_text, whole.output_text]);
    expect(final.usage).toMatchObject({ input_tokens: whole.usage?.input_tokens, output_tokens: 24 });
    const chat = await client.chat.completions.create({ ...BRIEF, messages: MESSAGES });
    expect(chat.choices[0]?.message.content).toBe(whole.output_text);
  });

  test('go on with a stored conversation, of which nothing is computed again', async () => {
    const first = await client.responses.create({ ...brief, max_output_tokens: 64, input: 'What is gravity?' });
    const input = [{ role: 'user' as const, content: 'Say it in one sentence.' }];
    const stored = await client.responses.create({ ...brief, previous_response_id: first.id, input });
    expect(stored.usage?.input_tokens_details.cached_tokens).toBeGreaterThan(64);
    const sent: OpenAI.Responses.ResponseInput = [{ role: 'user', content: 'What is gravity?' }];
    for (const item of first.output) sent.push(item as OpenAI.Responses.ResponseInputItem);
    const whole = await client.responses.create({ ...brief, input: [...sent, ...input], store: false });
    expect(whole.output_text).toBe(stored.output_text);
    const { input_tokens } = await client.responses.inputTokens.count({ previous_response_id: first.id, input });
    expect(stored.usage?.input_tokens).toBe(input_tokens);
  });

  test('give log-probabilities whose texts add up to the answer', async () => {
    const { output } = await client.responses.create({
      ...brief,
      input: 'What is gravity?',
      include: ['message.output_text.logprobs'],
      top_logprobs: 2,
    });
    const [message] = output;
    const part = message?.type === 'message' ? message.content[0] : undefined;
    if (part?.type !== 'output_text') throw new Error('no text');
    expect(Buffer.from((part.logprobs ?? []).flatMap(({ bytes }) => bytes)).toString()).toBe(part.text);
  });

  test('have the form that is asked for, and call the tools that they must', async () => {
    const city = { type: 'object', properties: { city: { type: 'string', maxLength: 20 } }, required: ['city'] };
    const schema = { ...city, additionalProperties: false };
    const format = { type: 'json_schema' as const, name: 'city', strict: true, schema };
    const formed = await client.responses.create({
      ...brief,
      max_output_tokens: 64,
      input: 'A city?',
      text: { format },
    });
    expect(JSON.parse(formed.output_text)).toEqual({ city: expect.any(String) });

    const tools = [{ type: 'function' as const, name: 'weather', strict: true, parameters: schema }];
    const must = { tools, tool_choice: 'required' as const, parallel_tool_calls: false, max_output_tokens: 64 };
    const whole = await client.responses.create({ ...brief, ...must, input: 'Weather in Bern?' });
    const call = whole.output.find((item) => item.type === 'function_call');
    expect(call).toMatchObject({ name: 'weather', status: 'completed' });
    expect(JSON.parse(call?.arguments ?? '')).toEqual({ city: expect.any(String) });
    const final = await client.responses.stream({ ...brief, ...must, input: 'Weather in Bern?' }).finalResponse();
    expect(final.output.find((item) => item.type === 'function_call')?.arguments).toBe(call?.arguments);

    const answer = [{ type: 'function_call_output' as const, call_id: call?.call_id ?? '', output: 'It rains.' }];
    const after = await client.responses.create({ ...brief, tools, previous_response_id: whole.id, input: answer });
    expect(after.output_text).not.toBe('');

    const wrong = { ...format, schema: { type: 'nonsense' } };
    const refused = client.responses.create({ ...brief, input: 'x', text: { format: wrong } });
    await expect(refused).rejects.toMatchObject({ status: 400, param: expect.stringMatching(/^text\.format\.schema/) });
  });

  test('leave out old turns only when they may', async () => {
    const input = [
      { role: 'user' as const, content: 'word '.repeat(3000) },
      { role: 'assistant' as const, content: 'Yes.' },
      { role: 'user' as const, content: 'What is gravity?' },
    ];
    const refused = await client.responses.create({ ...brief, input }).catch((reason: unknown) => reason);
    expect(refused).toMatchObject({ status: 400, code: 'context_length_exceeded', param: 'input' });
    const fitted = await client.responses.create({ ...brief, input, truncation: 'auto' });
    const alone = await client.responses.create({ ...brief, input: input.slice(-1) });
    expect(fitted.output_text).toBe(alone.output_text);
  });
});

describe('models', () => {
  test('are listed and found', async () => {
    const listed = [];
    for await (const model of client.models.list()) listed.push(model.id);
    expect(listed).toEqual([MODEL]);
    expect(await client.models.retrieve(MODEL)).toMatchObject({ id: MODEL, object: 'model' });
  });
});

describe("errors arrive as the client's own classes", () => {
  test('an unknown model', async () => {
    const asked = client.chat.completions.create({ ...BRIEF, model: 'gpt-4', messages: MESSAGES });
    const error = await asked.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(NotFoundError);
    expect(error).toMatchObject({ status: 404, code: 'model_not_found', param: 'model' });
  });

  test('a parameter out of its range', async () => {
    const asked = client.chat.completions.create({ ...BRIEF, temperature: 3, messages: MESSAGES });
    const error = await asked.catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, type: 'invalid_request_error', param: 'temperature' });
  });

  test('a prompt that is too long', async () => {
    const messages = [{ role: 'user' as const, content: 'word '.repeat(3000) }];
    const error = await client.chat.completions.create({ ...BRIEF, messages }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ code: 'context_length_exceeded' });
  });

  test('a wrong key', async () => {
    const stranger = new OpenAI({ baseURL, apiKey: 'sk-wrong', maxRetries: 0 });
    await expect(stranger.models.list()).rejects.toBeInstanceOf(AuthenticationError);
  });

  test('a server that is not there', async () => {
    const nowhere = new OpenAI({ baseURL: 'http://127.0.0.1:1/v1', apiKey: API_KEY, maxRetries: 0 });
    await expect(nowhere.models.list()).rejects.toBeInstanceOf(APIConnectionError);
  });
});
