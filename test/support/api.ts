import { createApp } from '../../src/api/index.js';
import type { Serving } from '../../src/serving/index.js';
import { createLogger } from '../../src/telemetry/index.js';

const silent = createLogger({ level: 'silent' });

/** An app that logs nothing. */
export function quietApp(serving: Serving, options: Omit<Parameters<typeof createApp>[1], 'logger'> = {}) {
  return createApp(serving, { ...options, logger: silent });
}

export function post(body: unknown, headers: Record<string, string> = {}): RequestInit {
  return {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  };
}

export const chat = (extra: object = {}) => ({ messages: [{ role: 'user', content: 'Hi' }], ...extra });

/** The data of every server-sent event, in order, as text. */
export function eventData(stream: string): string[] {
  const events = stream.split('\n\n');
  if (events.pop() !== '') throw new Error('the stream does not end with an empty line');
  return events.map((event) => {
    if (!event.startsWith('data: ') || event.includes('\n')) throw new Error(`not an event: ${event}`);
    return event.slice('data: '.length);
  });
}

/** The chunks of a stream that ended well. */
export function chunksOf(stream: string): Record<string, unknown>[] {
  const data = eventData(stream);
  if (data.pop() !== '[DONE]') throw new Error('the stream does not end with [DONE]');
  return data.map((json) => JSON.parse(json));
}
