import { describe, expect, test } from 'vitest';
import { post, quietApp } from '../support/api.js';
import { fakeServing } from '../support/fake-serving.js';
import { BOS, IM_END, IM_START } from '../support/fake-vocabulary.js';

async function ask(path: string, body: object | string) {
  const response = await quietApp(fakeServing()).request(path, post(body));
  return { status: response.status, body: JSON.parse(await response.text()) };
}

const bytes = (text: string) => [...Buffer.from(text)];
const messages = [{ role: 'user', content: 'Hi' }];

describe('tokenize', () => {
  test("answers vLLM's clients", async () => {
    expect(await ask('/tokenize', { prompt: 'Hi' })).toEqual({
      status: 200,
      body: { count: 3, max_model_len: 4096, tokens: [BOS, ...bytes('Hi')], token_strs: null },
    });
  });

  test('leaves special tokens out, and tells what tokens say, when asked', async () => {
    const { body } = await ask('/tokenize', {
      prompt: 'é<|im_end|>',
      add_special_tokens: false,
      return_token_strs: true,
    });
    expect(body).toMatchObject({
      count: 3,
      tokens: [...bytes('é'), IM_END],
      token_strs: ['\uFFFD', '\uFFFD', '<|im_end|>'],
    });
  });

  test('renders a chat, with the beginning of an answer unless told not to', async () => {
    const turn = [IM_START, ...bytes('user\nHi'), IM_END, ...bytes('\n')];
    const whole = [BOS, ...turn, IM_START, ...bytes('assistant\n')];
    expect((await ask('/tokenize', { messages })).body.tokens).toEqual(whole);
    expect((await ask('/tokenize', { messages, add_generation_prompt: false })).body.tokens).toEqual([BOS, ...turn]);
    const open = await ask('/tokenize', { messages, continue_final_message: true });
    expect(open.body.tokens).toEqual([BOS, IM_START, ...bytes('user\nHi')]);
  });

  test("answers llama-server's clients", async () => {
    expect(await ask('/tokenize', { content: 'Hi' })).toEqual({ status: 200, body: { tokens: bytes('Hi') } });
    expect((await ask('/tokenize', { content: 'Hi', add_special: true })).body).toEqual({
      tokens: [BOS, ...bytes('Hi')],
    });
    expect((await ask('/tokenize', { content: '<s>', parse_special: false })).body).toEqual({ tokens: bytes('<s>') });
    expect((await ask('/tokenize', { content: 'aé<s>', with_pieces: true })).body).toEqual({
      tokens: [
        { id: 97, piece: 'a' },
        { id: 195, piece: [195] },
        { id: 169, piece: [169] },
        { id: BOS, piece: '<s>' },
      ],
    });
    expect((await ask('/tokenize', { content: '' })).body).toEqual({ tokens: [] });
  });

  test.each([
    [{}, 'prompt'],
    [{ prompt: null }, 'prompt'],
    [{ prompt: 'a', content: 'b' }, 'content'],
    [{ prompt: ['a'] }, 'prompt'],
    [{ messages: [] }, 'messages'],
    [{ messages, add_special_tokens: true }, 'add_special_tokens'],
    [{ messages, add_generation_prompt: true, continue_final_message: true }, 'continue_final_message'],
    [{ prompt: 'a', model: 'gpt-4' }, 'model'],
  ])('refuses %j, naming the field', async (body, param) => {
    const answer = await ask('/tokenize', body);
    expect(answer.status).toBe(param === 'model' ? 404 : 400);
    expect(answer.body.error).toMatchObject({ type: 'invalid_request_error', param });
  });
});

describe('detokenize', () => {
  test("gives the text under vLLM's and llama-server's names", async () => {
    const tokens = [BOS, ...bytes('Grüße 👋'), IM_END];
    const text = '<s>Grüße 👋<|im_end|>';
    expect(await ask('/detokenize', { tokens })).toEqual({ status: 200, body: { prompt: text, content: text } });
    expect((await ask('/detokenize', { tokens: [] })).body).toEqual({ prompt: '', content: '' });
  });

  test.each([{}, { tokens: 'abc' }, { tokens: [-1] }, { tokens: [1.5] }, { tokens: ['1'] }])(
    'refuses %j',
    async (body) => {
      const answer = await ask('/detokenize', body);
      expect(answer.status).toBe(400);
      expect(answer.body.error.param).toBe('tokens');
    },
  );
});

describe('apply-template', () => {
  test('renders a chat as text', async () => {
    expect(await ask('/apply-template', { messages })).toEqual({
      status: 200,
      body: { prompt: '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n' },
    });
    const closed = await ask('/apply-template', { messages, add_generation_prompt: false });
    expect(closed.body.prompt).toBe('<|im_start|>user\nHi<|im_end|>\n');
  });

  test('needs messages', async () => {
    expect((await ask('/apply-template', {})).body.error.param).toBe('messages');
  });
});

describe.each(['/tokenize', '/detokenize', '/apply-template'])('%s', (path) => {
  test('needs the API key and keeps to the body limit', async () => {
    const app = quietApp(fakeServing(), { apiKeys: ['secret'], maxBodyBytes: 64 });
    expect((await app.request(path, post({}))).status).toBe(401);
    const key = { Authorization: 'Bearer secret' };
    expect((await app.request(path, post({}, key))).status).toBe(400);
    const large = JSON.stringify({ prompt: 'a'.repeat(100) });
    expect((await app.request(path, post(large, { ...key, 'Content-Length': String(large.length) }))).status).toBe(413);
  });
});
