import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { isAlive, type QuireProcess, startQuire } from '../support/quire-process.js';
import { randomModelPath } from '../support/random-model.js';

/** One thread is fastest for a model this small, and leaves the other cores to whoever needs them. */
const serveArgs = () => [model, '--port', '0', '--threads', '1', '--kv-cache-memory', '64MiB'];
const NPM_START = ['npm', 'start', '--silent', '--'];

let model: string;
const started: QuireProcess[] = [];

beforeAll(async () => {
  // Long enough for answers that outlast a test.
  model = await randomModelPath({ contextLength: 8192 });
});

afterEach(() => {
  for (const quire of started.splice(0)) quire.kill();
});

/** A server that takes requests, its address, and all its processes. */
async function serve(options: Parameters<typeof startQuire>[1] & { throughNpm?: boolean; flags?: string[] } = {}) {
  const { throughNpm, flags = [], ...rest } = options;
  const args = [...(throughNpm ? [] : ['serve']), ...serveArgs(), ...flags];
  const quire = startQuire(args, throughNpm ? { ...rest, command: NPM_START } : rest);
  started.push(quire);
  const url = (await quire.seen(/ready at (http:\S+)/))[1]!;
  return { quire, url, pids: quire.tree() };
}

/** An answer that goes on until somebody stops it. */
async function startStream(url: string, maxTokens: number) {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'a', max_tokens: maxTokens, ignore_eos: true, stream: true }),
  });
  expect(response.status).toBe(200);
  const chunks = response.body!.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  const first = (await chunks.next()).value as string;
  return {
    /** Reads on to the end: `done` when the answer is complete, `cut` when the connection or the answer broke off. */
    async end(): Promise<'done' | 'cut'> {
      let text = first;
      try {
        for (let next = await chunks.next(); !next.done; next = await chunks.next()) text += next.value;
      } catch {
        return 'cut';
      }
      return text.endsWith('data: [DONE]\n\n') ? 'done' : 'cut';
    },
  };
}

describe.each(['SIGINT', 'SIGTERM'] as const)('%s', (signal) => {
  it('ends an idle server with exit code 0 and leaves no process behind', async () => {
    const { quire, pids } = await serve();
    expect(pids.length).toBeGreaterThan(1);
    quire.child.kill(signal);
    expect(await quire.ended).toEqual({ code: 0, signal: null });
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it('sent to `npm start` alone ends the whole tree', async () => {
    const { quire, pids } = await serve({ throughNpm: true });
    expect(pids.length).toBeGreaterThan(2);
    quire.child.kill(signal);
    expect(await quire.ended).toEqual({ code: 0, signal: null });
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it('sent to the process group, as a terminal does, lets a running stream end although npm repeats it', async () => {
    const { quire, url, pids } = await serve({ throughNpm: true, detached: true });
    const stream = await startStream(url, 200);
    process.kill(-quire.child.pid!, signal);
    expect(await stream.end()).toBe('done');
    expect((await quire.ended).signal).toBeNull();
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it('ends a server that is still loading', async () => {
    const quire = startQuire(['serve', ...serveArgs()]);
    started.push(quire);
    await quire.seen(/listening/i);
    const pids = quire.tree();
    quire.child.kill(signal);
    expect(await quire.ended).toEqual({ code: 0, signal: null });
    expect(pids.filter(isAlive)).toEqual([]);
  });
});

it('a second signal does not wait for running streams', async () => {
  const { quire, url, pids } = await serve();
  const stream = await startStream(url, 8000);
  quire.child.kill('SIGINT');
  await quire.seen(/shutting down/i);
  quire.child.kill('SIGTERM');
  expect(await quire.ended).toEqual({ code: 0, signal: null });
  expect(await stream.end()).toBe('cut');
  expect(pids.filter(isAlive)).toEqual([]);
});

it('while running streams end, probes and new requests are told so', async () => {
  const { quire, url } = await serve();
  const stream = await startStream(url, 200);
  quire.child.kill('SIGTERM');
  await quire.seen(/shutting down/i);
  expect((await fetch(`${url}/health/live`)).status).toBe(200);
  for (const path of ['/health', '/health/ready', '/ping', '/v2/health/ready']) {
    expect([path, (await fetch(url + path)).status]).toEqual([path, 503]);
  }
  const refused = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'a' }),
  });
  expect(refused.status).toBe(503);
  expect(refused.headers.get('retry-after')).toMatch(/^\d+$/);
  expect(refused.headers.get('connection')).toBe('close');
  expect(await refused.json()).toEqual({
    error: {
      message: expect.stringContaining('shutting down'),
      type: 'server_error',
      param: null,
      code: expect.anything(),
    },
  });
  expect(await stream.end()).toBe('done');
  expect((await quire.ended).code).toBe(0);
});

it('a stream that does not end in time ends with an error event, and a whole answer with 503', async () => {
  const { quire, url, pids } = await serve({ flags: ['--shutdown-timeout', '0.2'] });
  const ask = (stream: boolean) =>
    fetch(`${url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'a', max_tokens: 8000, ignore_eos: true, stream }),
    });
  const whole = ask(false);
  const streamed = await ask(true);
  quire.child.kill('SIGTERM');
  // A broken chunk would make reading it fail.
  const last = (await streamed.text()).trimEnd().split('\n\n').at(-1)!;
  expect(JSON.parse(last.replace(/^data: /, ''))).toMatchObject({
    error: { message: expect.stringContaining('shutting down') },
  });
  expect((await whole).status).toBe(503);
  expect(await quire.ended).toEqual({ code: 0, signal: null });
  expect(pids.filter(isAlive)).toEqual([]);
});

it.runIf(process.platform === 'linux')('a killed server takes its engine along, even one that hangs', async () => {
  const { quire, url, pids } = await serve();
  await startStream(url, 8000);
  const engine = quire.enginePid()!;
  process.kill(engine, 'SIGSTOP');
  quire.child.kill('SIGKILL');
  await quire.ended;
  await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), 5000);
});

it('a closed terminal ends the server as SIGTERM does', async () => {
  const { quire, url, pids } = await serve();
  const stream = await startStream(url, 200);
  quire.child.kill('SIGHUP');
  expect(await stream.end()).toBe('done');
  expect(await quire.ended).toEqual({ code: 0, signal: null });
  expect(pids.filter(isAlive)).toEqual([]);
});
