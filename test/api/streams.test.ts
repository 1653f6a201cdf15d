import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type AppOptions, listen, type RunningServer } from '../../src/api/index.js';
import { createStreamStore } from '../../src/api/stream-store.js';
import { chat, post, quietApp } from '../support/api.js';
import { delta, type FakeServing, fakeServing, finish, replies, type Script } from '../support/fake-serving.js';

const WORDS = ['one', ' two', ' three', ' four', ' five'];

const running: RunningServer[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close(0)));
});

async function serve(serving: FakeServing, options: AppOptions = {}): Promise<string> {
  const server = await listen(quietApp(serving, { streamResumeWindow: 60, ...options }), { port: 0 });
  running.push(server);
  return server.url;
}

/** Says a word for each call of `step`, and the rest when it is let go. */
function stepping() {
  let allowed = 0;
  let wake = (): void => {};
  const script: Script = async function* () {
    for (const [i, word] of WORDS.entries()) {
      while (i >= allowed) await new Promise<void>((resolve) => (wake = resolve));
      yield delta(0, word);
    }
    yield finish(0, 'stop');
  };
  const step = (count = 1) => {
    allowed += count;
    wake();
  };
  return { script, step };
}

/** Reads a stream event by event until `count` have come; without it, to the end. */
async function readEvents(response: Response, count = Number.POSITIVE_INFINITY) {
  let text = '';
  const decoder = new TextDecoder();
  const reader = response.body!.getReader();
  while (text.split('\n\n').length - 1 < count) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  return text
    .split('\n\n')
    .slice(0, -1)
    .map((event) => {
      const [, id, rest] = /^id: (\S+)\n([\s\S]*)$/.exec(event) ?? [];
      return { id: id!, rest: rest! };
    });
}

const ask = (url: string, init: RequestInit = {}, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/chat/completions`, { ...post(chat({ stream: true }), headers), ...init });

const take = (url: string, lastEventId: string, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/streams/${lastEventId.split('/')[0]}`, { headers: { 'Last-Event-ID': lastEventId, ...headers } });

const contentOf = (events: { rest: string }[]) =>
  events
    .filter(({ rest }) => rest !== 'data: [DONE]')
    .map(({ rest }) => JSON.parse(rest.slice('data: '.length)).choices[0].delta.content ?? '')
    .join('');

describe('a stream whose client has lost its connection', () => {
  test('goes on, and is taken up where it was', async () => {
    const { script, step } = stepping();
    const serving = fakeServing(script);
    const url = await serve(serving);
    const leaving = new AbortController();
    step(2);
    const response = await ask(url, { signal: leaving.signal });
    const before = await readEvents(response, 2);
    const id = response.headers.get('X-Request-Id');
    expect(before.map((event) => event.id)).toEqual(before.map((_, i) => `${id}/${i}`));
    leaving.abort();
    step(WORDS.length);
    await vi.waitFor(() => expect(serving.eventsRead).toBe(WORDS.length + 1));
    const after = await readEvents(await take(url, before.at(-1)!.id));
    expect(after[0]!.id).toBe(`${id}/${before.length}`);
    expect(after.at(-1)!.rest).toBe('data: [DONE]');
    expect(contentOf([...before, ...after])).toBe(WORDS.join(''));
    expect(serving.aborted).toEqual([]);
    expect((await take(url, after.at(-1)!.id)).status).toBe(204);
    expect((await take(url, `${id}/99`)).status).toBe(400);
    expect((await take(url, `${id}/99`)).headers.get('content-type')).toContain('json');
  });

  test('is taken up while it still runs, and its first reader, if there is one, is at the end', async () => {
    const { script, step } = stepping();
    const url = await serve(fakeServing(script));
    step();
    const first = await ask(url);
    const id = first.headers.get('X-Request-Id');
    const second = await fetch(`${url}/v1/streams/${id}`);
    // Ended properly: a broken chunk would make reading it fail.
    expect(contentOf(await readEvents(first))).toBe('one');
    step(WORDS.length);
    expect(contentOf(await readEvents(second))).toBe(WORDS.join(''));
  });

  test('is aborted when the window has passed', async () => {
    const { script, step } = stepping();
    const serving = fakeServing(script);
    const url = await serve(serving, { streamResumeWindow: 0.05 });
    const leaving = new AbortController();
    step();
    const response = await ask(url, { signal: leaving.signal });
    const [event] = await readEvents(response, 1);
    leaving.abort();
    await vi.waitFor(() => expect(serving.aborted).toHaveLength(1));
    const late = await take(url, event!.id);
    expect(late.status).toBe(410);
    expect(await late.json()).toEqual({
      error: {
        message: expect.stringContaining('Send the request again'),
        type: 'invalid_request_error',
        param: null,
        code: 'stream_gone',
      },
    });
  });

  test('belongs to its API key', async () => {
    const url = await serve(fakeServing(), { apiKeys: ['ours', 'theirs'] });
    const as = (key: string) => ({ Authorization: `Bearer ${key}` });
    const events = await readEvents(await ask(url, {}, as('ours')));
    expect((await take(url, events[0]!.id, as('theirs'))).status).toBe(404);
    expect((await take(url, events[0]!.id)).status).toBe(401);
    expect(await readEvents(await take(url, events[0]!.id, as('ours')))).toEqual(events.slice(1));
  });

  test('can be ended by its client', async () => {
    const { script, step } = stepping();
    const serving = fakeServing(script);
    const url = await serve(serving);
    step();
    const id = (await ask(url)).headers.get('X-Request-Id');
    expect((await fetch(`${url}/v1/streams/${id}`, { method: 'DELETE' })).status).toBe(204);
    expect(serving.aborted).toHaveLength(1);
    expect((await fetch(`${url}/v1/streams/${id}`)).status).toBe(410);
  });

  test.each([
    ['the server keeps none', { streamResumeWindow: 0 }, {}],
    ['its request does not want it', {}, { 'X-Stream-Resumable': 'false' }],
  ])('is aborted if %s', async (_, options, headers) => {
    const { script, step } = stepping();
    const serving = fakeServing(script);
    const url = await serve(serving, options);
    const leaving = new AbortController();
    step();
    const response = await ask(url, { signal: leaving.signal }, headers);
    const { value } = await response.body!.getReader().read();
    expect(new TextDecoder().decode(value)).toMatch(/^data: /);
    leaving.abort();
    await vi.waitFor(() => expect(serving.aborted).toHaveLength(1));
    expect((await take(url, `${response.headers.get('X-Request-Id')}/0`)).status).toBe(404);
  });

  test('gets another id where its client uses one twice', async () => {
    const url = await serve(fakeServing());
    const headers = { 'X-Request-Id': 'mine' };
    const [first, second] = [await ask(url, {}, headers), await ask(url, {}, headers)];
    expect((await readEvents(first))[0]!.id).toBe('mine/0');
    const [event] = await readEvents(second);
    expect(event!.id).not.toContain('mine');
    expect((await take(url, event!.id)).status).toBe(200);
  });
});

describe('the ids of events', () => {
  test.each([
    ['/v1/completions', { prompt: 'Hi', stream: true }],
    ['/v1/responses', { input: 'Hi', stream: true }],
    ['/v1/messages', { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 9, stream: true }],
    ['/generate_stream', { inputs: 'Hi' }],
    ['/completion', { prompt: 'Hi', stream: true }],
    ['/v2/models/fake-model/generate_stream', { text_input: 'Hi' }],
  ])('come with every event of %s', async (path, body) => {
    const url = await serve(fakeServing(replies(...WORDS)));
    const events = await readEvents(await fetch(url + path, post(body)));
    const [id] = events[0]!.id.split('/');
    expect(events.map((event) => event.id)).toEqual(events.map((_, i) => `${id}/${i}`));
    expect(await readEvents(await take(url, events[1]!.id))).toEqual(events.slice(2));
  });

  test("do not disturb OpenAI's and Anthropic's clients", async () => {
    const url = await serve(fakeServing(replies(...WORDS)));
    const openai = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' });
    let text = '';
    const messages = [{ role: 'user' as const, content: 'Hi' }];
    const chunks = await openai.chat.completions.create({ model: 'default', messages, stream: true });
    for await (const chunk of chunks) text += chunk.choices[0]?.delta.content ?? '';
    const response = openai.responses.stream({ model: 'default', input: 'Hi' });
    const anthropic = new Anthropic({ baseURL: url, apiKey: 'none' });
    const message = anthropic.messages.stream({ model: 'default', messages, max_tokens: 9 });
    expect([text, (await response.finalResponse()).output_text, await message.finalText()]).toEqual(
      Array(3).fill(WORDS.join('')),
    );
  });
});

describe('memory', () => {
  const source = (count: number) => {
    let left = count;
    return { next: async () => (left-- > 0 ? `data: ${'x'.repeat(93)}\n\n` : undefined), cancel() {} };
  };
  const drained = async (events: ReturnType<typeof source>) => {
    for (let text = await events.next(); text !== undefined; text = await events.next());
    events.cancel();
  };

  test('is bounded for each stream: its earliest events are forgotten', async () => {
    const store = createStreamStore(() => 'new', { windowMs: 1000, maxStreamBytes: 1000 });
    const stream = store.add('', 'a', 'text/event-stream', source(50));
    await drained(stream.read(0) as ReturnType<typeof source>);
    expect(store.bytes()).toBeLessThanOrEqual(1000);
    expect([stream.has(0), stream.has(49), stream.has(50)]).toEqual([false, true, true]);
  });

  test('is bounded for all: the oldest that is over goes first', async () => {
    const store = createStreamStore(() => 'new', { windowMs: 1000, maxBytes: 3000 });
    for (const id of ['a', 'b', 'c']) {
      await drained(store.add('', id, 'text/event-stream', source(12)).read(0) as ReturnType<typeof source>);
    }
    expect(store.find('', 'a')).toBe('gone');
    expect(store.find('', 'c')).toMatchObject({ stream: { isOver: true } });
    expect(store.bytes()).toBeLessThanOrEqual(3000);
    expect(store.find('', 'never')).toBeUndefined();
  });
});
