import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type LoadedEngine, loadEngine } from '../../src/engine/load-engine.js';
import { createEngineFaults } from '../../src/faults/engine-faults.js';
import { type EngineFault, parseFaults } from '../../src/faults/spec.js';
import { requantize } from '../../src/serving/models/requantize.js';
import { engineConfig, engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';
import { runToEnd } from '../support/run-engine.js';

let modelPath: string;
const opened: LoadedEngine[] = [];

beforeAll(async () => {
  modelPath = await randomModelPath({ type: 'Q8_0' });
});

afterEach(() => {
  for (const engine of opened.splice(0)) engine.dispose();
});

async function open(spec: string): Promise<LoadedEngine> {
  const faults = createEngineFaults(parseFaults(spec) as EngineFault[], () => {
    throw new Error('only pages are to run out');
  });
  const config = engineConfig({ modelPath, threads: 1, maxNumSeqs: 6, maxModelLen: 512 });
  const loaded = await loadEngine(config, { onProgress() {}, onLog() {}, faults });
  opened.push(loaded);
  return loaded;
}

const requests = Array.from({ length: 6 }, (_, i) =>
  engineRequest(`r${i}`, pseudoRandomTokens(20 + 17 * i, i, 512), {
    n: i === 3 ? 2 : 1,
    sampling: { maxTokens: 40, temperature: i % 2, seed: i },
  }),
);

describe('an engine whose pages run out for a while', () => {
  it.each(['exhaust-pages@step=12,steps=30', 'exhaust-pages@step=1,steps=5', 'exhaust-pages@step=2..40'])(
    'preempts and waits, and says the same as ever (%s)',
    async (spec) => {
      const undisturbed = runToEnd(await open(''), requests);
      const loaded = await open(spec);
      expect(runToEnd(loaded, requests).transcripts).toEqual(undisturbed.transcripts);
      expect(loaded.engine.stats()).toMatchObject({ blocksUsed: 0, runningSequences: 0, waitingRequests: 0 });
    },
  );

  it('really is short of pages', async () => {
    const loaded = await open('exhaust-pages@step=12,steps=30');
    runToEnd(loaded, requests);
    expect(loaded.engine.stats().preemptions).toBeGreaterThan(0);
  });
});

describe('a disk that is full when a model is re-encoded', () => {
  it('gets its space back, and the user is told what to do', async () => {
    const cache = mkdtempSync(join(tmpdir(), 'quire-faults-'));
    vi.stubEnv('QUIRE_CACHE', cache);
    vi.stubEnv('QUIRE_FAULTS', 'disk-full@write=requantize');
    vi.stubEnv('QUIRE_ALLOW_FAULTS', '1');
    try {
      const model = { path: modelPath, tensors: [], name: 'model' };
      await expect(requantize(model, 'F16', 'it', { threads: 1 })).rejects.toMatchObject({
        message: expect.stringContaining('ENOSPC'),
        hint: expect.stringContaining('--requantize off'),
      });
      const files = readdirSync(cache, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      expect(files.map(({ name }) => name)).toEqual([]);
    } finally {
      vi.unstubAllEnvs();
      rmSync(cache, { recursive: true });
    }
  });
});
