import { expect } from 'vitest';
import { post, quietApp } from './api.js';
import { fakeServing, type Script } from './fake-serving.js';

const URL = '/v1/responses';

// biome-ignore lint/suspicious/noExplicitAny: an answer as it came, of any shape
type Json = any;

/** A client of the Responses API, with an app of its own, and so with what is stored there. */
export function responsesClient(script?: Script, apiKeys: string[] = []) {
  const serving = fakeServing(script);
  const app = quietApp(serving, { apiKeys });

  async function send(path: string, init: RequestInit = {}, key?: string): Promise<{ status: number; body: Json }> {
    const headers = { ...init.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    const response = await app.request(URL + path, { ...init, headers });
    return { status: response.status, body: await response.json() };
  }

  return {
    serving,
    app,
    create: (body: object, key?: string) => send('', post(body), key),
    count: (body: object) => send('/input_tokens', post(body)),
    get: (path: string, key?: string) => send(`/${path}`, {}, key),
    delete: (id: string, key?: string) => send(`/${id}`, { method: 'DELETE' }, key),
    cancel: (id: string) => send(`/${id}/cancel`, { method: 'POST' }),
    async stream(body: object) {
      const response = await app.request(URL, post({ ...body, stream: true }));
      return { response, events: eventsOf(await response.text()) };
    },
    /** The messages that a request became. */
    messages(request = 0) {
      const prompt = serving.requests[request]?.prompt;
      return prompt?.kind === 'chat' ? prompt.messages : undefined;
    },
  };
}

export interface StreamedEvent {
  type: string;
  sequence_number: number;
  [field: string]: Json;
}

/** Checks the framing and the numbers, which are the same for all events. */
function eventsOf(stream: string): StreamedEvent[] {
  const blocks = stream.split('\n\n');
  expect(blocks.pop()).toBe('');
  return blocks.map((block, index) => {
    const [first, second, ...rest] = block.split('\n');
    expect(rest).toEqual([]);
    const event = JSON.parse(second!.slice('data: '.length));
    expect(first).toBe(`event: ${event.type}`);
    expect(event.sequence_number).toBe(index);
    return event;
  });
}

/** A request that asks for nothing but an answer. */
export const ask = (extra: object = {}) => ({ input: 'Hi', ...extra });

export const WEATHER = {
  type: 'function',
  name: 'weather',
  description: 'Weather of a city',
  parameters: { type: 'object', properties: { city: { type: 'string' } } },
  strict: true,
};
export const TIME = { type: 'function', name: 'time' };
