import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { MAX_SEQUENCES, type SamplingParams } from '../../src/engine/protocol.js';
import { engineRequest } from '../../test/support/engine-requests.js';
import { createRandom } from '../random.js';
import { formatNumber, formatSpread } from '../report/format.js';
import { picture } from '../report/picture.js';
import type { Table } from '../report/rows.js';
import { column, stackedBars } from '../report/stacked-bars.js';
import { median, spread } from '../statistics.js';
import { type ObservedEngine, openObservedEngine } from './observed-engine.js';
import type { Part } from './part.js';
import { openRig, type Rig } from './rig.js';

const SEQUENCES = [1, 8, 32, 128, MAX_SEQUENCES];
const PROMPT = 32;
/** Steps of a round. */
const STEPS = 8;

const PARTS = ['decode', 'plan', 'fill', 'commit', 'sample', 'send'] as const;

type Durations = Record<(typeof PARTS)[number], number>;

const SAMPLINGS: readonly { title: string; sampling: Partial<SamplingParams> }[] = [
  { title: 'greedy', sampling: {} },
  { title: 'temperature 0.8, top-k 40, top-p 0.95', sampling: { temperature: 0.8, topK: 40, topP: 0.95 } },
];

/** Milliseconds of each part of a decode step, a sample for each round. */
interface Breakdown {
  sequences: number;
  sampling: string;
  rounds: Durations[];
}

/** Where the time of a decode step goes. */
export const breakdownPart: Part = {
  id: 'breakdown',
  title: 'Where a decode step spends its time',
  usesModel: true,
  async run({ modelPath, modelName, threads, rounds, onProgress }) {
    const rig = await openRig(modelPath, threads);
    const gateway = openGateway();
    try {
      const breakdowns: Breakdown[] = [];
      for (const { title, sampling } of SAMPLINGS) {
        for (const sequences of SEQUENCES) {
          onProgress(`${title}, ${sequences} sequences`, 0);
          const measured = await measure(rig, gateway, { sequences, sampling, rounds });
          breakdowns.push({ sequences, sampling: title, rounds: measured });
          onProgress(`${title}, ${sequences} sequences`, 1);
        }
      }
      return {
        figures: breakdowns,
        tables: [breakdownTable(breakdowns)],
        pictures: [breakdownPicture(breakdowns, modelName)],
        notes: [],
      };
    } finally {
      gateway.disconnect();
      rig.dispose();
    }
  },
};

/** A process that takes what an engine sends, over the kind of channel that is between engine and gateway. */
function openGateway(): ChildProcess {
  const entry = fileURLToPath(new URL('./gateway-stand-in.mjs', import.meta.url));
  return fork(entry, [], { serialization: 'advanced', execArgv: [] });
}

async function measure(
  rig: Rig,
  gateway: ChildProcess,
  options: { sequences: number; sampling: Partial<SamplingParams>; rounds: number },
): Promise<Durations[]> {
  const { sequences, sampling, rounds } = options;
  const maxTokens = 2 + rounds * STEPS;
  const observed = openObservedEngine(rig, { maxNumSeqs: sequences, tokens: 2 * sequences * (PROMPT + maxTokens) });
  try {
    const random = createRandom(`breakdown/${sequences}`);
    for (let i = 0; i < sequences; i++) {
      const prompt = Int32Array.from({ length: PROMPT }, () => random.integer(0, rig.model.vocab.size));
      observed.engine.add(engineRequest(`${i}`, prompt, { sampling: { ...sampling, maxTokens } }));
    }
    const { engine } = observed;
    while (engine.stats().generatedTokens < sequences) await step(observed, gateway);
    const measured: Durations[] = [];
    for (let round = 0; round < rounds; round++) {
      const total: Durations = { decode: 0, plan: 0, fill: 0, commit: 0, sample: 0, send: 0 };
      for (let i = 0; i < STEPS; i++) {
        const durations = await step(observed, gateway);
        for (const part of PARTS) total[part] += durations[part] / STEPS;
      }
      measured.push(total);
    }
    return measured;
  } finally {
    observed.dispose();
  }
}

/** One turn of the engine process's loop. */
async function step({ engine, marks }: ObservedEngine, gateway: ChildProcess): Promise<Durations> {
  const began = performance.now();
  engine.step();
  const stepped = performance.now();
  gateway.send({ type: 'step', events: engine.takeEvents(), stats: engine.stats() });
  const sent = performance.now();
  await once(gateway, 'message');
  return {
    plan: marks.run - began,
    fill: marks.decode - marks.run,
    decode: marks.decoded - marks.decode,
    commit: marks.sample - marks.decoded,
    sample: stepped - marks.sample,
    send: sent - stepped,
  };
}

const total = (durations: Durations) => PARTS.reduce((sum, part) => sum + durations[part], 0);

function breakdownTable(breakdowns: readonly Breakdown[]): Table {
  return {
    header: ['sampling', 'sequences', ...PARTS.map((part) => `${part} ms`), 'decode ÷ step'],
    rows: breakdowns.map(({ sampling, sequences, rounds }) => [
      sampling,
      String(sequences),
      ...PARTS.map((part) => formatSpread(spread(rounds.map((durations) => durations[part])))),
      formatSpread(spread(rounds.map((durations) => durations.decode / total(durations)))),
    ]),
  };
}

function breakdownPicture(breakdowns: readonly Breakdown[], modelName: string) {
  const greedy = breakdowns.filter(({ sampling }) => sampling === SAMPLINGS[0]!.title);
  const rows = greedy.map(({ sequences, rounds }) => ({
    label: `${sequences} sequence${sequences === 1 ? '' : 's'}`,
    ms: PARTS.map((part) => median(rounds.map((durations) => durations[part]))),
  }));
  const sum = (parts: readonly number[]) => parts.reduce((all, part) => all + part, 0);
  const shares = rows.map(({ label, ms }) => ({
    label,
    parts: ms.map((part) => (part / sum(ms)) * 100),
    note: `${formatNumber(sum(ms))} ms`,
  }));
  const rest = rows.map(({ label, ms: [, ...others] }) => ({
    label,
    parts: others,
    note: `${formatNumber(sum(others))} ms`,
  }));
  const title = `Where a decode step spends its time, ${modelName}, greedy`;
  const chart = column([
    stackedBars({ title: 'The whole step', unit: '% of the step', bars: shares }),
    stackedBars({ title: 'All but decode', unit: 'ms', bars: rest, firstColour: 1 }),
  ]);
  return { id: 'breakdown', title, svg: picture(title, PARTS, chart) };
}
