import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type TextSource, takeTextBody, textBody, writeTextBody } from '../../src/api/text-body.js';

const servers: ReturnType<typeof createServer>[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close().closeAllConnections();
});

/** A client of a server that answers with a text, and the response as the server has it. */
async function answerWith(source: TextSource) {
  const server = createServer().listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').setEncoding('utf8');
  client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const [, outgoing] = (await once(server, 'request')) as [unknown, ServerResponse];
  const written = writeTextBody(source, new Response(), outgoing, outgoing.socket as Socket);
  return { client, outgoing, written };
}

describe('a text body', () => {
  test('is a web stream to those who read it as one', async () => {
    const pieces = ['one', ' zwölf'];
    const body = textBody({ next: async () => pieces.shift(), cancel() {} });
    expect(await new Response(body).text()).toBe('one zwölf');
  });

  test('can be taken once, and only if it is one', () => {
    const source: TextSource = { next: async () => undefined, cancel() {} };
    const body = textBody(source);
    expect(takeTextBody(body)).toBe(source);
    expect(takeTextBody(body)).toBeUndefined();
    expect(takeTextBody(new ReadableStream())).toBeUndefined();
    expect(takeTextBody(null)).toBeUndefined();
  });

  test('cancels its source when its reader leaves', async () => {
    let cancelled = 0;
    const body = textBody({
      next: async () => 'more',
      cancel() {
        cancelled += 1;
      },
    });
    const reader = body.getReader();
    await reader.read();
    await reader.cancel();
    expect(cancelled).toBe(1);
  });
});

describe('a text body on a socket', () => {
  test('sends what comes in one turn as one write', async () => {
    const pieces = ['one', 'two', 'three'];
    const { client, outgoing, written } = await answerWith({ next: async () => pieces.shift(), cancel() {} });
    const socket = outgoing.socket as Socket;
    const finished = once(outgoing, 'finish');
    let writes = 0;
    const { _writev: writev, _write: write } = socket;
    socket._writev = (...args) => {
      writes += 1;
      writev?.apply(socket, args);
    };
    socket._write = (...args) => {
      writes += 1;
      write.apply(socket, args);
    };
    await written;
    await finished;
    expect(writes).toBe(1);
    const [received] = await once(client, 'data');
    expect(received).toMatch(/\r\n\r\n3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n$/);
  });

  test('asks for no more than its client takes, until it takes more', async () => {
    const PIECE = 'x'.repeat(2 ** 16);
    let asked = 0;
    const { client, outgoing } = await answerWith({
      async next() {
        asked += 1;
        return PIECE;
      },
      cancel() {},
    });
    client.pause();
    const socket = outgoing.socket as Socket;
    // Nothing is read, so after some pieces the socket stays full.
    let before = -1;
    while (asked > before || !socket.writableNeedDrain) {
      before = asked;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(socket.writableLength).toBeLessThan(3 * PIECE.length);
    client.resume();
    while (asked === before) await new Promise((resolve) => setImmediate(resolve));
    client.destroy();
  });

  test('cancels its source when its client leaves, also while nothing comes', async () => {
    let cancel = (): void => {};
    const cancelled = new Promise<void>((resolve) => {
      cancel = resolve;
    });
    const { client } = await answerWith({ next: () => new Promise(() => {}), cancel });
    await once(client, 'data');
    client.destroy();
    await cancelled;
  });
});
