import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { describe, expect, it, onTestFinished } from 'vitest';
import { buildKernel } from '../../src/attention/index.js';
import { surveyModel } from '../../src/engine/model-survey.js';
import { type LoadMode, loadLlama } from '../../src/llama/index.js';
import { pseudoRandomTokens } from '../support/engine-requests.js';
import { openPagedModel } from '../support/paged-model.js';
import { randomModelPath } from '../support/random-model.js';

/** Before, nobody can ask for huge pages in memory that is in use. */
const LINUX_6_1 = process.platform === 'linux' && Number.parseFloat(release()) >= 6.1;

/** Bytes of this process that are in huge pages. */
function hugeBytes(): number {
  const [, kilobytes] = /AnonHugePages:\s*(\d+) kB/.exec(readFileSync('/proc/self/smaps_rollup', 'utf8')) ?? [];
  return Number(kilobytes) * 1024;
}

const MIB = 2 ** 20;

/** About 20 MiB of halves, which llama.cpp does not repack. */
const large = () => randomModelPath({ type: 'F16', layers: 3, heads: 16, kvHeads: 16, headSize: 64 });

describe('weights', () => {
  it.skipIf(!LINUX_6_1)('read into memory get huge pages (asked for from Linux 6.1 on)', async () => {
    const path = await large();
    const kernel = (await buildKernel()).path;
    const llama = loadLlama({ device: 'cpu' });
    const gained = (loadMode: LoadMode): number => {
      const model = llama.loadModel(path, { loadMode });
      const before = hugeBytes();
      surveyModel(model, { kernel, ggmlBaseLibrary: llama.ggmlBaseLibrary });
      const gain = hugeBytes() - before;
      model.dispose();
      return gain;
    };
    expect(gained('mmap')).toBeLessThan(4 * MIB);
    expect(gained('none')).toBeGreaterThan(10 * MIB);
  });

  it('give the same logits, however they were loaded', async () => {
    const path = await large();
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
