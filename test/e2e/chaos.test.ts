import { expect, test } from 'vitest';
import { runChaos } from '../../bench/chaos/chaos.js';
import { defaultModelPath } from '../support/default-model.js';

const MINUTES = Number(process.env.QUIRE_CHAOS_MINUTES ?? 3);
const SEED = Number(process.env.QUIRE_SEED ?? 1);

test(
  `nothing is lost in ${MINUTES} minutes of full load and killed engines (QUIRE_SEED=${SEED})`,
  async () => {
    const report = await runChaos({
      model: await defaultModelPath(),
      minutes: MINUTES,
      killEverySeconds: 20,
      users: 24,
      seed: SEED,
    });
    expect(report.lost).toEqual([]);
    expect(report.different).toEqual([]);
    expect(report.leaked).toEqual({ blocks: 0, requests: 0, processes: 0, files: 0 });
    expect(report.kills).toBeGreaterThan(0);
    expect(report.answers).toBeGreaterThan(0);
  },
  MINUTES * 60_000 + 180_000,
);
