import { mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EngineConfig } from '../../src/engine/protocol.js';
import type { StartEngine } from '../../src/serving/engines/engine-client.js';
import { KeptMemory } from '../../src/serving/engines/kept-memory.js';
import { superviseEngine } from '../../src/serving/engines/supervisor.js';
import { engineConfig, engineRequest } from '../support/engine-requests.js';
import { createFakeEngine, type FakeEngine } from '../support/fake-engine.js';

const FAILURE = { reason: 'It died.' };
const LONG_MS = 6_000;

let folder: string;
/** What engines have open as their page memory. */
let descriptor: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'quire-kept-memory-'));
  descriptor = openSync(join(folder, 'pages'), 'w+');
  vi.useFakeTimers({ toFake: ['performance'] });
});

afterEach(() => {
  vi.useRealTimers();
  rmSync(folder, { recursive: true });
});

/** Engines that have page memory to keep, and what supervises them. */
async function open({ keepsKVCache = true } = {}) {
  const engines: FakeEngine[] = [];
  const wasGiven: boolean[] = [];
  const configs: EngineConfig[] = [];
  let memory: KeptMemory | undefined;
  const startEngine: StartEngine = async (config, hooks) => {
    const engine = createFakeEngine({ pace: 'manual', info: { kvCacheBytes: 12_345, maxModelLen: 678 } });
    configs.push(config);
    memory = hooks.memory;
    wasGiven.push(memory?.descriptor !== undefined);
    memory?.hold(process.pid, descriptor);
    engines.push(engine);
    return engine;
  };
  const restartDelaysMs = [0, 0, 0, 0, 0, 0];
  const supervised = await superviseEngine({
    config: engineConfig(),
    hooks: {},
    startEngine,
    restartDelaysMs,
    retryMs: 60_000,
    keepsKVCache,
  });
  supervised.submit(engineRequest('r', Int32Array.of(1), { sampling: { maxTokens: 99 } }), () => {});
  return {
    supervised,
    wasGiven,
    configs,
    memory: () => memory,
    /** The engine dies after so many ms, in which its request got on, or did not. */
    async die(livedMs: number, { getsOn }: { getsOn: boolean }) {
      const count = engines.length;
      if (getsOn) engines.at(-1)!.step();
      vi.advanceTimersByTime(livedMs);
      engines.at(-1)!.die(FAILURE);
      await vi.waitUntil(() => engines.length > count);
      await Promise.resolve();
    },
  };
}

describe.runIf(process.platform === 'linux')('the memory of an engine that died', () => {
  it('is what the next one gets', async () => {
    const { wasGiven, die } = await open();
    await die(0, { getsOn: false });
    await die(LONG_MS, { getsOn: true });
    await die(LONG_MS, { getsOn: true });
    expect(wasGiven).toEqual([false, true, true, true]);
  });

  it('is given up when an engine dies with it before anybody gets on, or engines die soon', async () => {
    const { wasGiven, die } = await open();
    await die(LONG_MS, { getsOn: true });
    await die(LONG_MS, { getsOn: false });
    await die(LONG_MS, { getsOn: false });
    await die(LONG_MS, { getsOn: true });
    await die(1_000, { getsOn: true });
    await die(1_000, { getsOn: true });
    expect(wasGiven).toEqual([false, true, false, false, true, true, false]);
  });

  it('is of the size that it had, however much memory is free now', async () => {
    const { configs, die } = await open();
    await die(LONG_MS, { getsOn: true });
    expect(configs.map(({ kvCacheBytes, maxModelLen }) => [kvCacheBytes, maxModelLen])).toEqual([
      [0, 0],
      [12_345, 678],
    ]);
  });

  it('is let go at the end', async () => {
    const { supervised, memory } = await open();
    expect(memory()?.descriptor).toBeDefined();
    await supervised.close();
    expect(memory()?.descriptor).toBeUndefined();
  });

  it('is not kept where that is not wanted', async () => {
    const { wasGiven, memory, die } = await open({ keepsKVCache: false });
    await die(LONG_MS, { getsOn: true });
    expect(wasGiven).toEqual([false, false]);
    expect(memory()).toBeUndefined();
  });

  it('is the very file, and nothing where there is none', () => {
    const memory = new KeptMemory();
    memory.hold(process.pid, descriptor);
    writeSync(memory.descriptor!, 'kept');
    expect(readFileSync(join(folder, 'pages'), 'utf8')).toBe('kept');
    memory.hold(process.pid, 99_999);
    expect(memory.descriptor).toBeUndefined();
  });
});
