import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { isAlive, type QuireProcess, startQuire } from '../support/quire-process.js';
import { randomModelPath } from '../support/random-model.js';

const folder = mkdtempSync(join(tmpdir(), 'quire-upgrade-'));
const started: QuireProcess[] = [];
let model: string;

beforeAll(async () => {
  model = await randomModelPath({ contextLength: 8192 });
});

afterEach(() => {
  for (const quire of started.splice(0)) quire.kill();
});

afterAll(() => rmSync(folder, { recursive: true }));

const serveArgs = (path = model) => ['serve', path, '--port', '0', '--threads', '1', '--kv-cache-memory', '64MiB'];

async function serve(args: readonly string[], options?: Parameters<typeof startQuire>[1]) {
  const quire = startQuire(args, options);
  started.push(quire);
  const url = (await quire.seen(/ready at (http:\S+)/))[1]!;
  return { quire, url };
}

/** The text of a stream; throws if it does not come whole. */
async function ask(url: string, connection: string): Promise<string> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', connection },
    body: JSON.stringify({ prompt: 'a', max_tokens: 60, ignore_eos: true, temperature: 0, stream: true }),
  });
  const text = await response.text();
  if (response.status !== 200 || !text.endsWith('data: [DONE]\n\n')) throw new Error(`${response.status} ${text}`);
  return text
    .trimEnd()
    .split('\n\n')
    .slice(0, -1)
    .map((event) => JSON.parse(event.slice('data: '.length)).choices[0].text)
    .join('');
}

it.skipIf(process.platform === 'win32')('SIGUSR2 replaces a server under load, and no request is lost', async () => {
  const file = join(folder, 'pid');
  const { quire, url } = await serve([...serveArgs(), '--pid-file', file]);
  expect(readFileSync(file, 'utf8')).toBe(`${quire.child.pid}\n`);
  const expected = await ask(url, 'close');
  let isOver = false;
  let answers = 0;
  const clients = Array.from({ length: 6 }, async (_, i) => {
    while (!isOver) {
      expect(await ask(url, i % 2 === 0 ? 'close' : 'keep-alive')).toBe(expected);
      answers += 1;
    }
  });
  const load = Promise.all(clients);

  quire.child.kill('SIGUSR2');
  const ended = once(quire.child, 'exit');
  await Promise.race([quire.seen(/has taken over/), load]);
  quire.tree();
  const [code] = await Promise.race([ended, load.then(() => [])]);
  expect(code).toBe(0);
  const successor = Number(readFileSync(file, 'utf8'));
  expect(successor).not.toBe(quire.child.pid);
  const before = answers;
  await vi.waitFor(() => expect(answers).toBeGreaterThan(before + 6), 20_000);
  isOver = true;
  await load;

  // The one that took over is a server like any other.
  process.kill(successor, 'SIGTERM');
  await vi.waitFor(() => expect(quire.tree()).toEqual([]), 20_000);
  expect(existsSync(file)).toBe(false);
});

it.skipIf(process.platform === 'win32')('a server whose successor does not start goes on', async () => {
  const link = join(folder, 'model.gguf');
  symlinkSync(model, link);
  const { quire, url } = await serve(serveArgs(link));
  unlinkSync(link);
  quire.child.kill('SIGUSR2');
  await quire.seen(/did not take over: it ended with exit code 1/);
  await ask(url, 'close');
  quire.child.kill('SIGTERM');
  expect(await quire.ended).toEqual({ code: 0, signal: null });
  expect(quire.tree()).toEqual([]);
});

it.skipIf(process.platform === 'win32')(
  'takes sockets from systemd, and connections wait until it is ready',
  async () => {
    const opened = createServer().listen(0, '127.0.0.1');
    await once(opened, 'listening');
    const { port } = opened.address() as AddressInfo;
    const { fd } = (opened as unknown as { _handle: { fd: number } })._handle;
    const options = {
      command: ['sh', '-c', 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" bin/quire.js "$@"', process.execPath],
      fds: [fd],
    };
    const quire = startQuire(serveArgs(), options);
    started.push(quire);
    // The other process has its own copy by now; as with systemd, whoever opened it does not accept.
    opened.close();
    const answer = ask(`http://127.0.0.1:${port}`, 'close');
    expect((await quire.seen(/ready at (http:\S+)/))[1]).toBe(`http://127.0.0.1:${port}`);
    await answer;
    quire.child.kill('SIGTERM');
    expect(await quire.ended).toEqual({ code: 0, signal: null });
    expect(quire.tree().filter(isAlive)).toEqual([]);
  },
);

it.skipIf(Number(process.versions.node.split('.')[0]) >= 22)('--reuse-port says what it needs', async () => {
  const quire = startQuire([...serveArgs(), '--reuse-port']);
  started.push(quire);
  expect((await quire.ended).code).toBe(2);
  expect(quire.stderr()).toMatch(/--reuse-port needs Node\.js 22\.12/);
});
