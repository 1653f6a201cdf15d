import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import type { EngineEvent, EngineRequest } from '../../src/engine/protocol.js';
import { type EngineClient, EngineStartError } from '../../src/serving/engines/engine-client.js';
import { spawnEngine } from '../../src/serving/engines/engine-process.js';
import { EngineUnavailableError } from '../../src/serving/errors.js';
import { embedRequest, engineConfig, engineRequest } from '../support/engine-requests.js';

const entry = fileURLToPath(new URL('../support/scripted-engine.mjs', import.meta.url));
const CRASH = 1;
const FALL_SILENT = 2;
const LOSE = 3;
const DAMAGE = 4;
const REPEAT = 5;

const config = engineConfig({ modelPath: 'good' });

const request = (id: string, firstToken: number, n = 1): EngineRequest =>
  engineRequest(id, Int32Array.of(firstToken), { n, sampling: { maxTokens: 1 } });

/** The events of a request, once every choice of it has finished. */
function finished(client: EngineClient, submitted: EngineRequest): Promise<EngineEvent[]> {
  const { id, n } = submitted;
  return new Promise((resolve) => {
    const all: EngineEvent[] = [];
    client.submit(submitted, (events) => {
      expect(events.every((event) => event.requestId === id)).toBe(true);
      all.push(...events);
      if (all.filter((event) => event.type === 'finished').length === n) resolve(all);
    });
  });
}

const clients: EngineClient[] = [];

async function start(modelPath = 'good', hooks: Parameters<typeof spawnEngine>[1] = {}): Promise<EngineClient> {
  const client = await spawnEngine({ ...config, modelPath }, hooks, entry);
  clients.push(client);
  return client;
}

async function startError(starting: Promise<unknown>): Promise<EngineStartError> {
  const error = await starting.then(
    () => undefined,
    (error) => error,
  );
  expect(error).toBeInstanceOf(EngineStartError);
  return error;
}

/** The scripted engine tells its process id in place of its number of threads. */
function isAlive(client: EngineClient): boolean {
  try {
    return process.kill(client.info.threads, 0);
  } catch {
    return false;
  }
}

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

describe('starting an engine process', () => {
  it('tells progress and logs, and what the engine is', async () => {
    const told: unknown[] = [];
    const client = await start('good', {
      onProgress: (phase, fraction) => told.push([phase, fraction]),
      onLog: (level, message) => told.push([level, message]),
    });
    expect(client.info.modelPath).toBe('good');
    expect(client.stats()).toEqual({ steps: 0 });
    await client.close();
    expect(told).toContainEqual(['weights', 0.5]);
    expect(told).toContainEqual(['warn', 'a note']);
    expect(told).toContainEqual(['debug', 'native output']);
  });

  it('fails with the reason and the hint that the engine gives', async () => {
    const error = await startError(start('fatal'));
    expect(error).toMatchObject({ message: 'The model does not fit.', hint: 'Take a smaller one.' });
  });

  it('fails with exit code and last words of an engine that dies', async () => {
    const error = await startError(start('crash'));
    expect(error.message).toContain('exit code 7');
    expect(error.message).toContain('GGML_ASSERT(false) failed');
  });

  it('fails for an engine of another protocol version', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'quire-engine-'));
    try {
      const other = join(folder, 'engine.mjs');
      writeFileSync(other, "process.send({ type: 'hello', version: 999 }); process.on('disconnect', process.exit);");
      expect((await startError(spawnEngine(config, {}, other))).message).toContain('protocol 999');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('fails when there is no engine program', async () => {
    expect(await startError(spawnEngine(config, {}, '/nowhere/main.js'))).toMatchObject({
      hint: expect.stringContaining('npm run build'),
    });
  });

  it('can be given up, before and while it starts', async () => {
    const controller = new AbortController();
    const starting = startError(start('hang', { signal: controller.signal }));
    controller.abort();
    expect((await starting).message).toContain('given up');
    expect((await startError(start('hang', { signal: controller.signal }))).message).toContain('given up');
  });

  it('cannot be given up any more once it runs', async () => {
    const controller = new AbortController();
    const client = await start('good', { signal: controller.signal });
    controller.abort();
    const add = request('a', 65);
    expect(await finished(client, add)).toHaveLength(2);
  });
});

describe('a running engine process', () => {
  it('embeds prompts', async () => {
    const client = await start();
    const events = await new Promise((resolve) => client.embed(embedRequest('e', Int32Array.of(3, 4)), resolve));
    expect(events).toEqual([
      { type: 'embedding', requestId: 'e', vector: Float32Array.of(1.5, 2) },
      { type: 'finished', requestId: 'e', choice: 0, reason: 'stop' },
    ]);
  });

  it('answers each request with the events that are its own', async () => {
    const client = await start();
    const requests = [request('a', 65, 2), request('b', 66)];
    const [a, b] = await Promise.all(requests.map((add) => finished(client, add)));
    expect(a).toEqual([
      { type: 'token', requestId: 'a', choice: 0, token: 65 },
      { type: 'finished', requestId: 'a', choice: 0, reason: 'length' },
      { type: 'token', requestId: 'a', choice: 1, token: 65 },
      { type: 'finished', requestId: 'a', choice: 1, reason: 'length' },
    ]);
    expect(b).toHaveLength(2);
    expect(client.stats().steps).toBe(2);
  });

  it('is told of aborts', async () => {
    const client = await start();
    const add = request('a', FALL_SILENT);
    const events = finished(client, add);
    client.abort('a');
    expect((await events).at(-1)).toMatchObject({ type: 'finished', reason: 'abort' });
  });

  it('that crashes says why and nothing else, and takes no more', async () => {
    const client = await start();
    const silent = request('silent', FALL_SILENT, 2);
    const crash = request('crash', CRASH);
    const events: EngineEvent[] = [];
    for (const add of [silent, crash]) client.submit(add, (some) => events.push(...some));
    const failure = await client.closed;
    expect(events).toEqual([{ type: 'started', requestId: 'silent', cachedTokens: 0 }]);
    expect(failure?.reason).toContain('SIGABRT');
    expect(failure?.reason).toContain('out of pages');
    expect(() => client.submit(request('late', 65), () => {})).toThrow(EngineUnavailableError);
    client.abort('silent');
  });

  it.each([
    ['are lost', LOSE, /messages 4 to 4 are missing/],
    ['are damaged', DAMAGE, /message 4 came damaged/],
  ])('whose messages %s is ended before it does harm', async (_, firstToken, reason) => {
    const client = await start();
    const events: EngineEvent[] = [];
    client.submit(request('a', firstToken), (some) => events.push(...some));
    expect((await client.closed)?.reason).toMatch(reason);
    expect(events).toEqual([]);
  });

  it('whose messages come twice is heard once', async () => {
    const client = await start();
    expect(await finished(client, request('a', REPEAT))).toHaveLength(2);
    expect(await finished(client, request('b', 66))).toHaveLength(2);
  });

  it('that is killed from outside is reported with what may be the cause', async () => {
    const client = await start();
    process.kill(client.info.threads, 'SIGKILL');
    expect(await client.closed).toMatchObject({ hint: expect.stringContaining('memory') });
  });

  it('ends when asked to, its requests with reason abort', async () => {
    const client = await start();
    const add = request('a', FALL_SILENT);
    const events = finished(client, add);
    await Promise.all([client.close(), client.close()]);
    expect((await events).at(-1)).toMatchObject({ type: 'finished', reason: 'abort' });
    expect(await client.closed).toBeUndefined();
    expect(isAlive(client)).toBe(false);
    expect(() => client.submit(request('late', 65), () => {})).toThrow(EngineUnavailableError);
  });

  it.skipIf(process.platform === 'win32')('is in a process group of its own, out of reach of Ctrl-C', async () => {
    const client = await start();
    // Signal 0 to a group only asks whether there is one with this number.
    expect(process.kill(-client.info.threads, 0)).toBe(true);
  });
});
