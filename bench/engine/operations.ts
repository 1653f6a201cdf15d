import { formatNumber, formatSpread } from '../report/format.js';
import type { Table } from '../report/rows.js';
import { median, spread } from '../statistics.js';
import { type Append, type Cache, type CacheOptions, openPages, openStock, prefill } from './caches.js';
import { type ModelCosts, modelCosts } from './model-costs.js';
import { OPERATIONS, type OperationTimes, openOperationTimer } from './operation-timer.js';
import type { Part } from './part.js';
import { describePeaks, measurePeaks, type Peaks, productPeak } from './peaks.js';
import { openRig, type Rig } from './rig.js';
import { inTurns, milliseconds } from './turns.js';

/** A step of `rows` tokens in all at the end of `sequences` sequences of `context` tokens. */
interface Step {
  title: string;
  sequences: number;
  context: number;
  rows: number;
}

const STEPS: readonly Step[] = [
  { title: 'prefill, tokens 0 to 511 of a prompt', sequences: 1, context: 0, rows: 512 },
  { title: 'prefill, tokens 3,584 to 4,095 of a prompt', sequences: 1, context: 3_584, rows: 512 },
  { title: 'decode, 32 × 512 tokens', sequences: 32, context: 512, rows: 32 },
];

const WAYS: readonly ((rig: Rig, options: CacheOptions) => Cache)[] = [
  openPages,
  (rig, options) => openStock(rig, { ...options, unified: true }),
];

interface StepProfile {
  step: string;
  label: string;
  /** Billions of multiply-accumulates in its matrix products. */
  gmac: number;
  /** Milliseconds, a sample for each round: as it is, and with its operations computed one by one. */
  stepMs: number[];
  operationMs: OperationTimes[];
}

/** Which share of a step is matrix products, and how close those come to what the machine can do. */
export const operationsPart: Part = {
  id: 'operations',
  title: 'What a step computes, and the machine’s limits',
  usesModel: true,
  async run({ modelPath, threads, rounds, onProgress }) {
    const peaks = await measurePeaks(threads, onProgress);
    const rig = await openRig(modelPath, threads);
    try {
      const costs = await modelCosts(rig);
      const profiles: StepProfile[] = [];
      for (const step of STEPS) {
        const onRound = (round: number) => onProgress(step.title, round / rounds);
        profiles.push(...profile(rig, step, costs, rounds, onRound));
        onRound(rounds);
      }
      return {
        figures: { peaks, profiles },
        tables: [operationTable(profiles), shareTable(profiles, peaks)],
        pictures: [],
        notes: [describePeaks(peaks)],
      };
    } finally {
      rig.dispose();
    }
  },
};

function profile(
  rig: Rig,
  { title, sequences, context, rows }: Step,
  { perRow, perOutput }: ModelCosts,
  rounds: number,
  onRound: (round: number) => void,
): StepProfile[] {
  const room = { sequences, tokensPerSequence: context + rows / sequences, batchSize: 512 };
  const timer = openOperationTimer(rig.llama.ggmlBaseLibrary);
  const plain = WAYS.map((open) => open(rig, room));
  const timed = WAYS.map((open) => open(rig, { ...room, evalCallback: timer.evalCallback }));
  const caches = [...plain, ...timed];
  for (const cache of caches) {
    prefill(cache, 0, context, room.batchSize);
    for (let sequence = 1; sequence < sequences; sequence++) cache.copy(0, sequence);
  }
  const operationMs = timed.map(() => new Array<OperationTimes>(rounds));
  const appends: Append[] = Array.from({ length: sequences }, (_, sequence) => ({ sequence, count: rows / sequences }));
  const ms = inTurns(rounds, caches, (cache, round) => {
    onRound(round);
    timer.take();
    const stepMs = milliseconds(() => cache.step(appends));
    const index = timed.indexOf(cache);
    if (index >= 0) operationMs[index]![round] = timer.take();
    for (const { sequence } of appends) cache.rewind(sequence, context);
    return stepMs;
  });
  for (const cache of caches) cache.dispose();
  timer.dispose();
  const gmac = (rows * perRow + sequences * perOutput) / 1e9;
  return plain.map(({ label }, i) => ({
    step: title,
    label,
    gmac,
    stepMs: ms[i]!,
    operationMs: operationMs[i]!,
  }));
}

function operationTable(profiles: readonly StepProfile[]): Table {
  return {
    header: ['step', 'keys and values', 'step ms', ...OPERATIONS.map((kind) => `${kind} ms`), 'matmul ÷ all'],
    rows: profiles.map(({ step, label, stepMs, operationMs }) => [
      step,
      label,
      formatSpread(spread(stepMs)),
      ...OPERATIONS.map((kind) => formatSpread(spread(operationMs.map((times) => times[kind])))),
      formatSpread(spread(operationMs.map((times) => times.matmul / sum(times)))),
    ]),
  };
}

const sum = (times: OperationTimes) => OPERATIONS.reduce((total, kind) => total + times[kind], 0);

function shareTable(profiles: readonly StepProfile[], peaks: Peaks): Table {
  const { kind, gmacs: peak } = productPeak(peaks);
  const percent = (rate: number) => `${formatNumber((rate / peak) * 100)} %`;
  return {
    header: [
      'step',
      'keys and values',
      'GMAC in matrix products',
      'GMAC/s in them',
      `÷ ${kind} peak`,
      `whole step ÷ ${kind} peak`,
    ],
    rows: profiles.map(({ step, label, gmac, stepMs, operationMs }) => {
      const rate = gmac / (median(operationMs.map((times) => times.matmul)) / 1_000);
      const stepRate = gmac / (median(stepMs) / 1_000);
      return [step, label, formatNumber(gmac), formatNumber(rate), percent(rate), percent(stepRate)];
    }),
  };
}
