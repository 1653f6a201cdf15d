import { readFileSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadLlama } from '../../src/llama/index.js';
import { pseudoRandomTokens } from '../support/engine-requests.js';
import { openPagedModel } from '../support/paged-model.js';
import { randomModelPath } from '../support/random-model.js';

/** llama.cpp does not repack halves: they stay where they were loaded. */
const halves = () => randomModelPath({ type: 'F16', layers: 3 });

describe('weights', () => {
  it.skipIf(process.platform !== 'linux').each([
    ['mmap', true],
    ['none', false],
  ] as const)(
    'of load mode %s are in the mapping of the file: %s (/proc is on Linux only)',
    async (loadMode, mapped) => {
      const path = await halves();
      const model = loadLlama({ device: 'cpu' }).loadModel(path, { loadMode });
      onTestFinished(() => model.dispose());
      expect(readFileSync('/proc/self/maps', 'utf8').includes(path)).toBe(mapped);
    },
  );

  it('give the same logits, however they were loaded', async () => {
    const path = await halves();
    const [mapped, read] = await Promise.all(
      (['mmap', 'none'] as const).map(async (loadMode) => {
        const paged = await openPagedModel(path, { mostTokens: 40, loadMode });
        onTestFinished(paged.dispose);
        return paged.throughPages(pseudoRandomTokens(40, 1, paged.model.vocab.size), [32, 8]);
      }),
    );
    expect(read).toEqual(mapped);
  });
});
