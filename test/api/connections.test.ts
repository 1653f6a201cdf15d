import { once } from 'node:events';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type ListenOptions, listen, type RunningServer } from '../../src/api/index.js';
import { chat, chunksOf, quietApp } from '../support/api.js';
import { delta, fakeServing, finish, type Script } from '../support/fake-serving.js';

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/tls/${name}`, import.meta.url));
const server = { cert: fixture('server.pem'), key: fixture('server-key.pem') };
const renewed = { cert: fixture('renewed.pem'), key: fixture('renewed-key.pem') };

let folder: string;
const running: RunningServer[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quire-tls-'));
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.close(0)));
  rmSync(folder, { recursive: true });
});

async function serve(options: ListenOptions = {}, script?: Script): Promise<RunningServer> {
  const one = await listen(quietApp(fakeServing(script)), { port: 0, ...options });
  running.push(one);
  return one;
}

/** What comes back for bytes that are sent, until the server ends the connection. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.write(bytes);
  return await text(socket);
}

function expectError(answer: string, status: string, code: string | null): void {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  expect(head.split('\r\n')[0]).toBe(`HTTP/1.1 ${status}`);
  expect(JSON.parse(body)).toEqual({
    error: { message: expect.any(String), type: 'invalid_request_error', param: null, code },
  });
}

describe('a connection', () => {
  const hasty = { headersTimeout: 300, requestTimeout: 600, connectionsCheckingInterval: 50 };

  test.each([
    ['nothing', ''],
    ['half a line', 'GET /hea'],
    ['headers that do not end', 'GET /health HTTP/1.1\r\nHost: x\r\nX-A: '],
    ['half a body', 'POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"prompt"'],
  ])('that sends %s is ended in time, with a reason', async (_, bytes) => {
    const { port } = await serve({ limits: hasty });
    expectError(await exchange(port, bytes), '408 Request Timeout', 'request_timeout');
  });

  test('that drips a header line now and then is ended in time', async () => {
    const { port } = await serve({ limits: hasty });
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\n');
    const drip = setInterval(() => socket.write('X-A: b\r\n'), 30);
    const answer = await text(socket).finally(() => clearInterval(drip));
    expectError(answer, '408 Request Timeout', 'request_timeout');
  });

  test('may wait for its answer longer than it may take to ask', async () => {
    const script: Script = async function* () {
      await new Promise((resolve) => setTimeout(resolve, 1500));
      yield delta(0, 'late');
      yield finish(0, 'stop');
    };
    const { url } = await serve({ limits: hasty }, script);
    const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(chat()) };
    expect(await (await fetch(`${url}/v1/chat/completions`, init)).json()).toMatchObject({
      choices: [{ message: { content: 'late' } }],
    });
  });

  test('with too large headers, or with no HTTP at all, is told so', async () => {
    const { port } = await serve();
    const large = `GET /health HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`;
    expectError(await exchange(port, large), '431 Request Header Fields Too Large', 'headers_too_large');
    expectError(await exchange(port, 'hello\r\n\r\n'), '400 Bad Request', null);
    const smuggled = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
    expectError(await exchange(port, smuggled), '400 Bad Request', null);
  });

  test.each([
    ['POST / HTTP/1.1', 422],
    ['POST /v1/chat/completions HTTP/1.1', 400],
    ['POST /v1/completions HTTP/1.1', 400],
    ['TRACE /v1/models HTTP/1.1', 405],
    ['TRACE /nothing HTTP/1.1', 404],
    ['POST /v1/completions?%=%&&=[ HTTP/1.1', 400],
  ])('with nothing but "%s" is answered with %i', async (line, status) => {
    const { port } = await serve();
    const answer = await exchange(port, `${line}\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(answer.split(' ')[1]).toBe(String(status));
    expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toHaveProperty('error');
  });

  test('for a host that is none is told so', async () => {
    const { port } = await serve();
    const answer = await exchange(port, 'GET /health HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n');
    expectError(answer, '400 Bad Request', null);
  });

  test('that breaks the rules in the middle of an answer is ended, and the answer is not mixed with another', async () => {
    const script: Script = async function* () {
      yield delta(0, 'first');
      await new Promise(() => {});
    };
    const { port } = await serve({}, script);
    const body = JSON.stringify(chat({ stream: true }));
    const socket = connect(port, '127.0.0.1');
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    const received = text(socket);
    await once(socket, 'data');
    socket.write('garbage\r\n\r\n');
    expect((await received).match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200']);
  });

  test('is counted while it is open', async () => {
    const one = await serve();
    const socket = connect(one.port, '127.0.0.1');
    await once(socket, 'connect');
    await expect.poll(() => one.connections()).toBe(1);
    socket.destroy();
    await expect.poll(() => one.connections()).toBe(0);
  });
});

describe('HTTPS', () => {
  /** Name on the certificate that the server shows. */
  async function subjectAt(port: number): Promise<string> {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { subject } = socket.getPeerCertificate();
    socket.destroy();
    return subject.CN as string;
  }

  async function post(url: string, body: object, options: object): Promise<string> {
    const headers = { 'Content-Type': 'application/json' };
    const outgoing = request(`${url}/v1/chat/completions`, { method: 'POST', headers, agent: false, ...options });
    outgoing.end(JSON.stringify(body));
    const [response] = await once(outgoing, 'response');
    return await text(response);
  }

  test('serves whole answers and streams to clients that check the certificate', async () => {
    const { url } = await serve({ tls: { certFile: server.cert, keyFile: server.key } });
    expect(url).toMatch(/^https:/);
    const ca = readFileSync(server.cert);
    expect(JSON.parse(await post(url, chat(), { ca }))).toMatchObject({ object: 'chat.completion' });
    expect(chunksOf(await post(url, chat({ stream: true }), { ca })).length).toBeGreaterThan(2);
    await expect(post(url, chat(), {})).rejects.toThrow(/self-signed/);
  });

  test('shows a new certificate after its files have changed, and the old one while they do not match', async () => {
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    copyFileSync(server.cert, cert);
    copyFileSync(server.key, key);
    const one = await serve({ tls: { certFile: cert, keyFile: key } });
    copyFileSync(renewed.cert, cert);
    expect(() => one.reloadCertificate()).toThrow(
      `the private key in ${key} is not that of the certificate in ${cert}`,
    );
    expect(await subjectAt(one.port)).toBe('localhost');
    copyFileSync(renewed.key, key);
    await expect.poll(() => subjectAt(one.port), { timeout: 10_000 }).toBe('renewed');
  });

  test('lets in only clients with a certificate, where authorities are named', async () => {
    const tls = { certFile: server.cert, keyFile: server.key, caFile: renewed.cert };
    const { url } = await serve({ tls });
    const ca = readFileSync(server.cert);
    await expect(post(url, chat(), { ca })).rejects.toThrow();
    const mine = { ca, cert: readFileSync(renewed.cert), key: readFileSync(renewed.key) };
    expect(JSON.parse(await post(url, chat(), mine))).toMatchObject({ object: 'chat.completion' });
  });

  test.each([
    ['no file', { certFile: '/nowhere.pem' }, 'the certificate cannot be read'],
    ['no key', { certFile: server.cert }, 'has no usable private key'],
    ['no certificate', { certFile: server.key }, 'has no certificate'],
    ['a key of another', { certFile: server.cert, keyFile: renewed.key }, 'is not that of the certificate'],
    ['no authority', { certFile: server.cert, keyFile: server.key, caFile: server.key }, 'has no certificate'],
  ])('does not begin with %s, and says why', async (_, tls, message) => {
    await expect(serve({ tls })).rejects.toThrow(message);
  });

  test('ends a connection that speaks plain HTTP', async () => {
    writeFileSync(join(folder, 'both.pem'), readFileSync(server.key, 'utf8') + readFileSync(server.cert, 'utf8'));
    const { port } = await serve({ tls: { certFile: join(folder, 'both.pem') } });
    expect(await exchange(port, 'GET / HTTP/1.1\r\n\r\n').catch(() => '')).not.toContain('HTTP/1.1 200');
  });
});
