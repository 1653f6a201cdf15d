import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import { createDrain } from '../../src/api/drain.js';
import { listen, type RunningServer } from '../../src/api/index.js';
import { createShutdown } from '../../src/api/shutdown.js';
import { chat, post, quietApp } from '../support/api.js';
import { delta, fakeServing, finish, type Script } from '../support/fake-serving.js';

const cleanups: Array<() => Promise<void>> = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A server, and what ends the answers that it is giving. */
async function serve(options: Parameters<typeof listen>[1] = {}) {
  let letEnd = (): void => {};
  const mayEnd = new Promise<void>((resolve) => {
    letEnd = resolve;
  });
  const script: Script = async function* () {
    // TGI's events are tokens, and each waits for the next.
    yield delta(0, 'first', 1);
    yield delta(0, ' second', 1);
    await mayEnd;
    yield finish(0, 'stop');
  };
  const serving = fakeServing(script);
  const drain = createDrain();
  const running: RunningServer = await listen(quietApp(serving, { drain }), { port: 0, ...options });
  const close = createShutdown({ serving, drain, listening: [running] });
  cleanups.push(() => close(0));
  return { serving, running, url: running.url, close, letEnd };
}

const json = async (response: Response) => [response.status, await response.json()];

describe('shutting down', () => {
  test('ends streams with an error event of their protocol, and whole answers with 503', async () => {
    const { url, close, serving } = await serve();
    const paths: [string, object, RegExp][] = [
      ['/v1/chat/completions', chat({ stream: true }), /data: \{"error":\{"message":".*shutting down.*\}\n\n$/],
      ['/v1/completions', { prompt: 'Hi', stream: true }, /data: \{"error":\{"message":".*shutting down.*\}\n\n$/],
      ['/v1/responses', { input: 'Hi', stream: true }, /event: response\.failed\ndata: .*shutting down.*\n\n$/],
      [
        '/v1/messages',
        { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 9, stream: true },
        /event: error\ndata: \{"type":"error","error":\{"type":"overloaded_error".*shutting down.*\}\n\n$/,
      ],
      ['/generate_stream', { inputs: 'Hi' }, /data:\s?\{"error".*shutting down.*\n\n$/],
      [
        '/api/chat',
        { model: 'fake-model', messages: [{ role: 'user', content: 'Hi' }] },
        /\{"error":".*shutting down.*"\}\n$/,
      ],
    ];
    const streams = await Promise.all(paths.map(([path, body]) => fetch(url + path, post(body))));
    const whole = fetch(`${url}/v1/chat/completions`, post(chat()));
    while (serving.requests.length <= paths.length) await new Promise((resolve) => setImmediate(resolve));
    const closed = close(20);
    for (const [i, stream] of streams.entries()) expect(await stream.text()).toMatch(paths[i]![2]);
    expect(await json(await whole)).toEqual([
      503,
      {
        error: {
          message: 'The server is shutting down. Send the request again.',
          type: 'server_error',
          param: null,
          code: 'engine_unavailable',
        },
      },
    ]);
    await closed;
    expect(serving.state().state).toBe('closed');
  });

  test('takes new requests during the delay, and then no more', async () => {
    const { url, close, letEnd } = await serve();
    const ask = () => fetch(`${url}/v1/chat/completions`, post(chat({ stream: true })));
    const running = await ask();
    const closed = close(60_000, { delayMs: 300 });
    const ready = await fetch(`${url}/health`);
    expect(await json(ready)).toEqual([503, { status: 'closing', message: 'The server is shutting down.' }]);
    const during = await ask();
    expect([during.status, during.headers.get('connection')]).toEqual([200, 'close']);
    await new Promise((resolve) => setTimeout(resolve, 400));
    const after = await ask();
    expect([after.status, after.headers.get('connection')]).toEqual([503, 'close']);
    expect(Number(after.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await fetch(`${url}/health/live`)).status).toBe(200);
    letEnd();
    expect(await running.text()).toContain('[DONE]');
    expect(await during.text()).toContain('[DONE]');
    await closed;
  });

  test('leaves a socket that others have at once, but answers on the connections it has', async () => {
    const { url, running, close, letEnd } = await serve();
    letEnd();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const probe = async () => {
      const [response] = (await once(get(`${url}/v1/models`, { agent }), 'response')) as [IncomingMessage];
      await once(response.resume(), 'end');
      return [response.statusCode, response.headers.connection];
    };
    expect(await probe()).toEqual([200, 'keep-alive']);
    const closed = close(60_000, { handedOver: true });
    expect(running.socket.listening).toBe(false);
    expect(await probe()).toEqual([200, 'close']);
    await closed;
    agent.destroy();
  });
});
