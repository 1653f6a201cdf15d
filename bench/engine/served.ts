import { engineRequest } from '../../test/support/engine-requests.js';
import { createRandom } from '../random.js';
import { formatSpread } from '../report/format.js';
import type { Table } from '../report/rows.js';
import { spread } from '../statistics.js';
import { type ObservedEngine, openObservedEngine } from './observed-engine.js';
import type { Part } from './part.js';
import { openRig, type Rig } from './rig.js';
import { milliseconds } from './turns.js';

/** A closed load: all requests are there from the start, `atOnce` of them run. */
interface Load {
  title: string;
  requests: number;
  atOnce: number;
  promptTokens(request: number): number;
  outputTokens: number;
}

const LOADS: readonly Load[] = [
  {
    title: 'decode: 32 at once, 16 tokens in, 64 out',
    requests: 32,
    atOnce: 32,
    promptTokens: () => 16,
    outputTokens: 64,
  },
  {
    title: 'mixed: 24 requests, 16 at once, 64 tokens in (every 8th: 1,000), 64 out',
    requests: 24,
    atOnce: 16,
    promptTokens: (request) => ((request + 1) % 8 === 0 ? 1_000 : 64),
    outputTokens: 64,
  },
];

/** Steps that the engine computes before the same ones are replayed. */
const STEPS_IN_TURN = 16;

/** Tokens per second of the engine and of the native calls alone, a sample for each round. */
interface ServedShare {
  load: string;
  steps: number[];
  engine: number[];
  bare: number[];
}

/** W5: what is left of llama_decode's speed when the engine schedules, samples and commits around it. */
export const servedPart: Part = {
  id: 'served',
  title: 'W5: the engine and bare llama_decode on the same batches',
  usesModel: true,
  async run({ modelPath, threads, rounds, onProgress }) {
    const rig = await openRig(modelPath, threads);
    try {
      const shares: ServedShare[] = [];
      for (const load of LOADS) {
        const share: ServedShare = { load: load.title, steps: [], engine: [], bare: [] };
        for (let round = 0; round < rounds; round++) {
          onProgress(load.title, round / rounds);
          const { steps, tokens, engineMs, bareMs } = measure(rig, load, round);
          share.steps.push(steps);
          share.engine.push((tokens / engineMs) * 1_000);
          share.bare.push((tokens / bareMs) * 1_000);
        }
        onProgress(load.title, 1);
        shares.push(share);
      }
      return { figures: shares, tables: [shareTable(shares)], pictures: [], notes: [] };
    } finally {
      rig.dispose();
    }
  },
};

function measure(rig: Rig, load: Load, round: number) {
  const lengths = Array.from({ length: load.requests }, (_, i) => load.promptTokens(i));
  const tokens = lengths.reduce((sum, length) => sum + length + load.outputTokens, 0);
  const observed = openObservedEngine(rig, { maxNumSeqs: load.atOnce, tokens: 2 * tokens });
  try {
    const random = createRandom(`${load.title}/${round}`);
    for (const [i, length] of lengths.entries()) {
      const prompt = Int32Array.from({ length }, () => random.integer(0, rig.model.vocab.size));
      observed.engine.add(engineRequest(`${i}`, prompt, { sampling: { maxTokens: load.outputTokens } }));
    }
    return runInTurns(observed);
  } finally {
    observed.dispose();
  }
}

/** The engine computes some steps, then the same are replayed, and so on: a slow second slows both. */
function runInTurns({ engine, record, takeRecord, replay }: ObservedEngine) {
  let engineMs = 0;
  let bareMs = 0;
  let steps = 0;
  while (engine.hasWork()) {
    record();
    engineMs += milliseconds(() => {
      for (let i = 0; i < STEPS_IN_TURN && engine.step(); i++) engine.takeEvents();
    });
    const recorded = takeRecord();
    engineMs -= recorded.recordMs;
    steps += recorded.steps.length;
    bareMs += milliseconds(() => {
      for (const step of recorded.steps) replay(step);
    });
  }
  return { steps, tokens: engine.stats().generatedTokens, engineMs, bareMs };
}

function shareTable(shares: readonly ServedShare[]): Table {
  return {
    header: ['load', 'steps', 'engine tok/s', 'bare llama_decode tok/s', 'engine ÷ bare'],
    rows: shares.map(({ load, steps, engine, bare }) => [
      load,
      formatSpread(spread(steps)),
      formatSpread(spread(engine)),
      formatSpread(spread(bare)),
      formatSpread(spread(engine.map((speed, round) => speed / bare[round]!))),
    ]),
  };
}
