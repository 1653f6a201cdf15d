import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { type LoadedEngine, loadEngine } from '../../src/engine/load-engine.js';
import { createEngineFaults } from '../../src/faults/engine-faults.js';
import { type EngineFault, parseFaults } from '../../src/faults/spec.js';
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
