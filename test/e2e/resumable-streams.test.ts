import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { createServer, type QuireServer } from '../../src/api/create-server.js';
import { createLogger } from '../../src/telemetry/index.js';
import { randomModelPath } from '../support/random-model.js';

const WINDOW_S = 2;
let server: QuireServer;
let url: string;

beforeAll(async () => {
  server = createServer({
    model: await randomModelPath({ contextLength: 8192 }),
    threads: 1,
    kvCacheMemory: '64MiB',
    streamResumeWindow: WINDOW_S,
    logger: createLogger({ level: 'warn' }),
  });
  const [running] = await Promise.all([server.listen({ port: 0 }), server.serving.whenReady()]);
  url = running.url;
});

afterAll(() => server?.close(0));

const body = (maxTokens: number) =>
  JSON.stringify({ prompt: 'a', max_tokens: maxTokens, temperature: 1, seed: 7, ignore_eos: true, stream: true });

/** Starts a stream and destroys its socket once `count` events have come. Returns these. */
async function startAndLose(maxTokens: number, count: number): Promise<string[]> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1').setEncoding('utf8');
  const json = body(maxTokens);
  socket.write(
    `POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${json.length}\r\n\r\n${json}`,
  );
  let text = '';
  let events: string[] = [];
  while (events.length < count) {
    text += (await once(socket, 'data'))[0];
    events = text.match(/id: \S+\ndata: .*\n\n/g) ?? [];
  }
  socket.resetAndDestroy();
  return events.slice(0, count);
}

const idOf = (event: string): string => /^id: (\S+)/.exec(event)![1]!;

const textOf = (events: readonly string[]): string =>
  events
    .map((event) => event.slice(event.indexOf('data: ') + 'data: '.length).trimEnd())
    .filter((data) => data !== '[DONE]')
    .map((data) => JSON.parse(data).choices[0].text)
    .join('');

it('a stream that lost its socket again and again has the text of an undisturbed one', async () => {
  const whole = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-stream-resumable': 'false' },
    body: body(400),
  });
  const expected = textOf((await whole.text()).split('\n\n').filter((event) => event !== ''));

  const received = await startAndLose(400, 3);
  for (let left = 4; received.at(-1)?.includes('[DONE]') !== true; left -= 1) {
    const last = idOf(received.at(-1)!);
    const leaving = new AbortController();
    const response = await fetch(`${url}/v1/streams/${last.split('/')[0]}`, {
      headers: { 'Last-Event-ID': last },
      signal: leaving.signal,
    });
    expect(response.status).toBe(200);
    let text = '';
    for await (const part of response.body!.pipeThrough(new TextDecoderStream())) {
      text += part;
      // Lost again, after some events.
      if (left > 0 && text.split('\n\n').length > 10) break;
    }
    leaving.abort();
    received.push(...(text.match(/id: \S+\ndata: .*\n\n/g) ?? []));
  }
  expect(received.map((event) => Number(idOf(event).split('/')[1]))).toEqual(received.map((_, i) => i));
  expect(textOf(received)).toBe(expected);
});

it('a stream that nobody takes up is aborted, and its blocks are free', async () => {
  await startAndLose(8000, 3);
  expect(server.serving.stats()?.runningSequences).toBe(1);
  await vi.waitFor(() => expect(server.serving.stats()).toMatchObject({ runningSequences: 0, blocksUsed: 0 }), 10_000);
});
