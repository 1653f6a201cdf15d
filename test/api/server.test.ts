import { EventEmitter, once } from 'node:events';
import { Agent, get, type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { Hono } from 'hono';
import { afterEach, describe, expect, test } from 'vitest';
import { listen, type RunningServer } from '../../src/api/index.js';
import { chat, chunksOf, eventData, post, quietApp } from '../support/api.js';
import { delta, type FakeServing, fakeServing, finish, replies, type Script } from '../support/fake-serving.js';

const running: RunningServer[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close(0)));
});

async function serve(serving: FakeServing): Promise<RunningServer> {
  const server = await listen(quietApp(serving), { port: 0 });
  running.push(server);
  return server;
}

function postChat(server: RunningServer, body: object, init: RequestInit = {}): Promise<Response> {
  const headers = { 'Content-Type': 'application/json' };
  return fetch(`${server.url}/v1/chat/completions`, { method: 'POST', headers, body: JSON.stringify(body), ...init });
}

/** A door that a script waits at. */
function gate() {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** Resolves once `condition` holds; checked whenever the event loop has gone round. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function readText(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const { value } = await reader.read();
  return new TextDecoder().decode(value);
}

describe('listening', () => {
  test('tells where, and answers there', async () => {
    const server = await serve(fakeServing());
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`);
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
  });

  test('on a port that is taken fails with EADDRINUSE', async () => {
    const { port } = await serve(fakeServing());
    await expect(listen(quietApp(fakeServing()), { port })).rejects.toMatchObject({ code: 'EADDRINUSE' });
  });
});

describe('a stream', () => {
  test('brings each token when it is there, not later', async () => {
    const second = gate();
    const script: Script = async function* () {
      yield delta(0, 'first');
      await second.opened;
      yield delta(0, 'second');
      yield finish(0, 'stop');
    };
    const server = await serve(fakeServing(script));
    const response = await postChat(server, chat({ stream: true }));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    const begin = await readText(reader);
    expect(begin).toContain('first');
    second.open();
    let rest = '';
    while (!rest.includes('[DONE]')) rest += await readText(reader);
    expect(chunksOf(begin + rest)).toHaveLength(4);
  });

  test('that its client leaves is aborted, also while nothing comes', async () => {
    const script: Script = async function* () {
      yield delta(0, 'first');
      await new Promise(() => {});
    };
    const serving = fakeServing(script);
    const server = await serve(serving);
    const leaving = new AbortController();
    const response = await postChat(server, chat({ stream: true }), { signal: leaving.signal });
    await response.body?.getReader().read();
    expect(serving.aborted).toEqual([]);
    leaving.abort();
    await until(() => serving.aborted.length > 0);
    expect(serving.aborted).toEqual([serving.requests[0]?.id]);
  });

  test('that its client leaves before the first token is aborted', async () => {
    const script: Script = async function* () {
      await new Promise(() => {});
      yield finish(0, 'stop');
    };
    const serving = fakeServing(script);
    const server = await serve(serving);
    const leaving = new AbortController();
    const response = postChat(server, chat({ stream: true }), { signal: leaving.signal });
    await until(() => serving.requests.length > 0);
    leaving.abort();
    await expect(response).rejects.toThrow();
    await until(() => serving.aborted.length > 0);
  });

  test('that is read slowly waits for its reader, and no other request does', async () => {
    const TEXT = 'x'.repeat(2 ** 16);
    const LIMIT = 2 ** 26 / TEXT.length;
    const script: Script = function* (asked) {
      if (asked.n === 1) for (;;) yield delta(0, TEXT);
      yield delta(0, 'quick');
      yield finish(0, 'stop');
    };
    const serving = fakeServing(script);
    const server = await serve(serving);
    const body = JSON.stringify(chat({ stream: true, n: 1 }));

    const slow = connect(server.port, '127.0.0.1');
    slow.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    await once(slow, 'readable');

    // Only when the slow stream has stopped is there time for this one to be answered.
    expect(await (await postChat(server, chat())).json()).toMatchObject({ choices: [{ finish_reason: 'stop' }] });
    const whileWaiting = serving.eventsRead;
    expect(whileWaiting).toBeLessThan(LIMIT);

    slow.resume();
    await until(() => serving.eventsRead > whileWaiting + LIMIT);
    slow.destroy();
    await until(() => serving.aborted.length > 0);
  });

  test('of several behind each other on one connection comes whole and in its turn', async () => {
    const first = gate();
    const script: Script = async function* ({ prompt }) {
      const [text] = prompt.kind === 'chat' ? prompt.messages.map(({ content }) => content) : [];
      if (text === 'one') await first.opened;
      yield delta(0, `answer ${text}`);
      yield finish(0, 'stop');
    };
    const serving = fakeServing(script);
    const server = await serve(serving);
    const socket = connect(server.port, '127.0.0.1');
    for (const [content, connection] of [
      ['one', 'keep-alive'],
      ['two', 'keep-alive'],
      ['three', 'close'],
    ]) {
      const body = JSON.stringify({ stream: true, messages: [{ role: 'user', content }] });
      socket.write(
        `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\n` +
          `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
    }
    // The later ones have been answered before they may be sent.
    await until(() => serving.requests.length === 3);
    first.open();
    let received = '';
    for await (const part of socket.setEncoding('utf8')) received += part;
    expect(received.match(/answer \w+|\[DONE\]\n\n\r\n0\r\n\r\n/g)).toEqual(
      ['one', 'two', 'three'].flatMap((text) => [`answer ${text}`, '[DONE]\n\n\r\n0\r\n\r\n']),
    );
  });

  test('leaves nothing behind on a connection that is used again', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error) => warnings.push(warning);
    process.on('warning', onWarning);
    const server = await serve(fakeServing());
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    for (let i = 0; i < 2 * EventEmitter.defaultMaxListeners; i += 1) {
      const headers = { 'Content-Type': 'application/json' };
      const outgoing = request(`${server.url}/v1/chat/completions`, { method: 'POST', agent, headers });
      outgoing.end(JSON.stringify(chat({ stream: true })));
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      expect(await text(response)).toContain('[DONE]');
      expect(outgoing.reusedSocket).toBe(i > 0);
    }
    agent.destroy();
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });

  test('has text of any script whole', async () => {
    const words = ['Zoë', ' 東京', ' 🦜'.repeat(5_000), '\u2028'];
    const server = await serve(fakeServing(replies(...words)));
    const response = await postChat(server, chat({ stream: true }));
    const content = chunksOf(await response.text()).map(
      (chunk) => (chunk.choices as { delta: { content?: string } }[])[0]?.delta.content ?? '',
    );
    expect(content.join('')).toBe(words.join(''));
  });

  test('passes through an app that changes its headers and its text', async () => {
    const app = new Hono();
    app.use(async (c, next) => {
      await next();
      c.res.headers.set('X-After', 'yes');
    });
    app.use('/shouted/*', async (c, next) => {
      await next();
      const shout = new TransformStream<string, string>({
        transform: (part, controller) => controller.enqueue(part.toUpperCase()),
      });
      const body = c.res.body?.pipeThrough(new TextDecoderStream()).pipeThrough(shout);
      c.res = new Response(body?.pipeThrough(new TextEncoderStream()), c.res);
    });
    app.route('/shouted', quietApp(fakeServing()));
    app.route('/', quietApp(fakeServing()));
    const server = await listen(app, { port: 0 });
    running.push(server);
    for (const [path, hello] of [
      ['/v1', 'Hello'],
      ['/shouted/v1', 'HELLO'],
    ]) {
      const response = await fetch(`${server.url}${path}/chat/completions`, post(chat({ stream: true })));
      expect(response.headers.get('X-After')).toBe('yes');
      expect(response.headers.get('Content-Type')).toBe('text/event-stream; charset=utf-8');
      expect(await response.text()).toContain(hello);
    }
  });

  test('and many others at once come through complete', async () => {
    const words = Array.from({ length: 20 }, (_, i) => `w${i} `);
    const script: Script = async function* () {
      for (const word of words) {
        await new Promise((resolve) => setImmediate(resolve));
        yield delta(0, word);
      }
      yield finish(0, 'stop');
    };
    const server = await serve(fakeServing(script));
    const texts = await Promise.all(
      Array.from({ length: 100 }, async () => {
        const response = await postChat(server, chat({ stream: true }));
        return chunksOf(await response.text()).map((chunk) => {
          const [choice] = chunk.choices as { delta: { content?: string } }[];
          return choice?.delta.content ?? '';
        });
      }),
    );
    expect(new Set(texts.map((text) => text.join('')))).toEqual(new Set([words.join('')]));
  });
});

describe('a whole answer', () => {
  test('that its client does not wait for is aborted', async () => {
    const script: Script = async function* () {
      yield delta(0, 'first');
      await new Promise(() => {});
    };
    const serving = fakeServing(script);
    const server = await serve(serving);
    const leaving = new AbortController();
    const response = postChat(server, chat(), { signal: leaving.signal });
    await until(() => serving.eventsRead > 0);
    leaving.abort();
    await expect(response).rejects.toThrow();
    await until(() => serving.aborted.length > 0);
  });
});

describe('a body without a declared length', () => {
  const headers = { 'Content-Type': 'application/json' };
  const inPieces = (...pieces: string[]) => ({
    method: 'POST',
    headers,
    body: ReadableStream.from(pieces.map((piece) => new TextEncoder().encode(piece))),
    duplex: 'half' as const,
  });

  test('is read, up to the most that is allowed', async () => {
    const server = await listen(quietApp(fakeServing(), { maxBodyBytes: 100 }), { port: 0 });
    running.push(server);
    const url = `${server.url}/v1/chat/completions`;
    const json = JSON.stringify(chat());
    expect((await fetch(url, inPieces(json.slice(0, 10), json.slice(10)))).status).toBe(200);
    expect((await fetch(url, inPieces(json, ' '.repeat(100)))).status).toBe(413);
  });

  test('may be none at all', async () => {
    const server = await serve(fakeServing());
    expect((await fetch(`${server.url}/v1/models`, { method: 'DELETE' })).status).toBe(405);
    expect((await fetch(`${server.url}/v1/responses/x`, { method: 'DELETE' })).status).toBe(404);
  });

  test('is refused on the wire once it is too large', async () => {
    const server = await listen(quietApp(fakeServing(), { maxBodyBytes: 1000 }), { port: 0 });
    running.push(server);
    const outgoing = request(`${server.url}/v1/completions`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
    });
    // Chunked and never ended: only the count can refuse it.
    outgoing.on('error', () => {});
    outgoing.write('x'.repeat(2000));
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
    expect(response.statusCode).toBe(413);
    outgoing.destroy();
  });
});

describe('closing', () => {
  test('ends idle connections at once', async () => {
    const server = await serve(fakeServing());
    const agent = new Agent({ keepAlive: true });
    const [response] = (await once(get(`${server.url}/health`, { agent }), 'response')) as [IncomingMessage];
    response.resume();
    await once(response, 'end');
    await server.close(2 ** 30);
    agent.destroy();
  });

  test('lets a running stream end, and takes no new connections', async () => {
    const rest = gate();
    const script: Script = async function* () {
      yield delta(0, 'first');
      await rest.opened;
      yield delta(0, 'last');
      yield finish(0, 'stop');
    };
    const server = await serve(fakeServing(script));
    const response = await postChat(server, chat({ stream: true }));
    const closed = server.close(2 ** 30);
    await expect(once(connect(server.port, '127.0.0.1'), 'connect')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    rest.open();
    expect(eventData(await response.text()).at(-1)).toBe('[DONE]');
    await closed;
  });

  test('cuts off what has not ended in time', async () => {
    const script: Script = async function* () {
      yield delta(0, 'first');
      await new Promise(() => {});
    };
    const serving = fakeServing(script);
    const server = await serve(serving);
    const response = await postChat(server, chat({ stream: true }));
    const patient = server.close(2 ** 30);
    await Promise.all([server.close(0), patient]);
    await expect(response.text()).rejects.toThrow();
    await until(() => serving.aborted.length > 0);
  });
});
