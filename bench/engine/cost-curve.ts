import { type Curve, curveChart } from '../report/curves.js';
import { formatSpread } from '../report/format.js';
import { picture } from '../report/picture.js';
import type { Table } from '../report/rows.js';
import { type Spread, spread } from '../statistics.js';
import { type Cache, openPages, openStock, prefill } from './caches.js';
import type { Part, PartOptions } from './part.js';
import { openRig, type Rig } from './rig.js';
import { decodeStepMs, inTurns } from './turns.js';

const BATCH_SIZES = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const BATCH_CONTEXT = 256;

const CONTEXTS = [64, 128, 256, 512, 1_024, 2_048, 4_096];
const CONTEXT_BATCH = 16;

const IDLE_TOKENS = [0, 1_000, 10_000, 100_000];
const IDLE_BATCH = 32;
const IDLE_CONTEXT = 60;
/** Cached tokens lie in sequences of this many. */
const IDLE_SEQUENCE = 1_000;

/** Decode steps of one turn. */
const STEPS = 2;

/** Decode step time over one quantity. */
interface CostCurve {
  id: string;
  /** What varies, and what does not. */
  quantity: string;
  places: number[];
  /** Milliseconds of a step: for each way, for each place, over the rounds. */
  ways: { label: string; ms: Spread[] }[];
}

/** What a decode step costs as the batch, its sequences, or what else the cache holds grow. */
export const costCurvePart: Part = {
  id: 'cost',
  title: 'What a decode step costs',
  usesModel: true,
  async run(options) {
    const rig = await openRig(options.modelPath, options.threads);
    try {
      const curves = [overBatchSize(rig, options), overContext(rig, options), overIdleTokens(rig, options)];
      return {
        figures: curves,
        tables: curves.map(costTable),
        pictures: curves.map((curve) => costPicture(curve, options.modelName)),
        notes: [],
      };
    } finally {
      rig.dispose();
    }
  },
};

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

function openAll(rig: Rig, room: { sequences: number; tokensPerSequence: number; batchSize: number }): Cache[] {
  return [
    openPages(rig, room),
    openStock(rig, { ...room, unified: true }),
    openStock(rig, { ...room, unified: false }),
  ];
}

/** Measures the caches at every place; `reach` brings a cache there from the place before and says who decodes. */
function curveOver(
  curve: Omit<CostCurve, 'ways'>,
  caches: readonly Cache[],
  { rounds, onProgress }: PartOptions,
  reach: (cache: Cache, place: number) => number[],
): CostCurve {
  const ms: Spread[][] = caches.map(() => []);
  curve.places.forEach((place, i) => {
    onProgress(`step time over ${curve.quantity}`, i / curve.places.length);
    const sequences = caches.map((cache) => reach(cache, place));
    const turns = range(0, caches.length);
    const samples = inTurns(rounds, turns, (turn) => decodeStepMs(caches[turn]!, sequences[turn]!, STEPS));
    samples.forEach((one, turn) => {
      ms[turn]!.push(spread(one));
    });
  });
  onProgress(`step time over ${curve.quantity}`, 1);
  for (const cache of caches) cache.dispose();
  return { ...curve, ways: caches.map(({ label }, i) => ({ label, ms: ms[i]! })) };
}

function overBatchSize(rig: Rig, options: PartOptions): CostCurve {
  const room = { sequences: 256, tokensPerSequence: BATCH_CONTEXT + 1 + STEPS, batchSize: 256 };
  const curve = { id: 'batch', quantity: `sequences of ${BATCH_CONTEXT} tokens`, places: BATCH_SIZES };
  return curveOver(curve, openAll(rig, room), options, (cache, size) => {
    if (cache.length(0) === 0) prefill(cache, 0, BATCH_CONTEXT, room.batchSize);
    for (const sequence of range(1, size)) if (cache.length(sequence) === 0) cache.copy(0, sequence);
    return range(0, size);
  });
}

function overContext(rig: Rig, options: PartOptions): CostCurve {
  const tokensPerSequence = CONTEXTS.at(-1)! + 1 + STEPS;
  const room = { sequences: CONTEXT_BATCH, tokensPerSequence, batchSize: 512 };
  const curve = { id: 'context', quantity: `tokens of context in ${CONTEXT_BATCH} sequences`, places: CONTEXTS };
  return curveOver(curve, openAll(rig, room), options, (cache, context) => {
    for (const sequence of range(1, CONTEXT_BATCH)) cache.rewind(sequence, 0);
    prefill(cache, 0, context - cache.length(0), room.batchSize);
    for (const sequence of range(1, CONTEXT_BATCH)) cache.copy(0, sequence);
    return range(0, CONTEXT_BATCH);
  });
}

/** Idle tokens lie in the cache as those of finished requests do, in case another one has the same prefix. */
function overIdleTokens(rig: Rig, options: PartOptions): CostCurve {
  const idle = Math.max(...IDLE_TOKENS) / IDLE_SEQUENCE;
  const room = { sequences: idle + IDLE_BATCH, tokensPerSequence: IDLE_SEQUENCE, batchSize: 512 };
  const curve = {
    id: 'idle',
    quantity: `idle cached tokens beside ${IDLE_BATCH} sequences`,
    places: IDLE_TOKENS,
  };
  return curveOver(curve, openAll(rig, room), options, (cache, tokens) => {
    const active = range(idle, idle + IDLE_BATCH);
    // Whoever decodes came last: free cells are behind those of the idle.
    for (const sequence of active) cache.rewind(sequence, 0);
    if (tokens > 0 && cache.length(0) === 0) prefill(cache, 0, IDLE_SEQUENCE, room.batchSize);
    for (const sequence of range(1, tokens / IDLE_SEQUENCE)) {
      if (cache.length(sequence) === 0) cache.copy(0, sequence);
    }
    prefill(cache, active[0]!, IDLE_CONTEXT, room.batchSize);
    for (const sequence of active.slice(1)) cache.copy(active[0]!, sequence);
    return active;
  });
}

function costTable({ quantity, places, ways }: CostCurve): Table {
  return {
    header: ['step ms over', 'keys and values', ...places.map((place) => place.toLocaleString('en-US'))],
    rows: ways.map(({ label, ms }) => [quantity, label, ...ms.map(formatSpread)]),
  };
}

function costPicture({ id, quantity, places, ways }: CostCurve, modelName: string) {
  const curves: Curve[] = ways.map(({ label, ms }) => ({ label, values: ms.map((one) => one.median) }));
  const title = `Decode step over ${quantity}, ${modelName}`;
  const chart = curveChart({
    places: places.map((place) => place.toLocaleString('en-US')),
    placesTitle: quantity,
    valuesTitle: 'ms per step',
    curves,
  });
  return {
    id,
    title,
    svg: picture(
      title,
      ways.map(({ label }) => label),
      chart,
    ),
  };
}
