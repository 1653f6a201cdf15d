import { formatNumber, formatSpread } from '../report/format.js';
import type { Table } from '../report/rows.js';
import { median, spread } from '../statistics.js';
import { type Cache, openPages, openStock, prefill } from './caches.js';
import { leastMs, modelCosts, type Work } from './model-costs.js';
import type { Part, PartOptions } from './part.js';
import { describePeaks, measurePeaks } from './peaks.js';
import { openRig, type Rig } from './rig.js';
import { decodeStepMs, inTurns, milliseconds } from './turns.js';

const SEQUENCES = 32;
const CONTEXT = 512;
const PROMPT = 4_096;
const PREFIX = 2_000;
const OWN = 50;
const ALONE = 60;
/** Decode steps of one turn. */
const STEPS = 6;
/** Rows of a prefill step: the engine's default, and llama.cpp's default for one batch. */
const SMALL_BATCH = 512;
const LARGE_BATCH = 2_048;

/** Tokens per second of one way, a sample for each round. */
interface Speed {
  label: string;
  tokensPerSecond: number[];
  /** Of this machine, for what this way has to compute. */
  limit: number;
}

interface Comparison {
  load: string;
  /** The first is ours, or what the others are compared with. */
  speeds: Speed[];
}

/** Attention over pages against llama.cpp's own caches, same matmuls, threads and rows. */
export const stockPart: Part = {
  id: 'stock',
  title: 'Pages and stock attention',
  usesModel: true,
  async run(options) {
    const peaks = await measurePeaks(options.threads, options.onProgress);
    const rig = await openRig(options.modelPath, options.threads);
    try {
      const costs = await modelCosts(rig);
      const limitMs: LimitMs = (work) => leastMs({ ...NO_WORK, ...work }, costs, peaks);
      const comparisons = [
        decode(rig, options, limitMs),
        promptPrefill(rig, options, limitMs),
        sharedPrefix(rig, options, limitMs),
      ];
      return {
        figures: { peaks, comparisons },
        tables: [speedTable(comparisons)],
        pictures: [],
        notes: [describePeaks(peaks)],
      };
    } finally {
      rig.dispose();
    }
  },
};

/** The least time for a step, or more, that decode. */
type LimitMs = (work: Partial<Work>) => number;

const NO_WORK: Work = { steps: 1, rows: SEQUENCES, outputs: SEQUENCES, attended: 0, kvTokens: 0 };

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

function decode(rig: Rig, { rounds, onProgress }: PartOptions, limitMs: LimitMs): Comparison {
  const load = `decode, ${SEQUENCES} × ${CONTEXT} tokens`;
  const room = { sequences: SEQUENCES, tokensPerSequence: CONTEXT + 1 + STEPS, batchSize: CONTEXT };
  const caches = [
    openPages(rig, room),
    openStock(rig, { ...room, unified: true }),
    openStock(rig, { ...room, unified: false }),
  ];
  for (const cache of caches) {
    prefill(cache, 0, CONTEXT, room.batchSize);
    for (const sequence of range(1, SEQUENCES)) cache.copy(0, sequence);
  }
  const ms = inTurns(rounds, caches, (cache, round) => {
    onProgress(load, round / rounds);
    return decodeStepMs(cache, range(0, SEQUENCES), STEPS);
  });
  onProgress(load, 1);
  for (const cache of caches) cache.dispose();
  const least = limitMs({ attended: SEQUENCES * CONTEXT, kvTokens: SEQUENCES * CONTEXT });
  return { load, speeds: caches.map(({ label }, i) => speed(label, SEQUENCES, ms[i]!, least)) };
}

/** Stock gets the batch size that suits it better. */
function promptPrefill(rig: Rig, { rounds, onProgress }: PartOptions, limitMs: LimitMs): Comparison {
  const load = `prefill, one prompt of ${formatNumber(PROMPT)} tokens`;
  const room = { sequences: 1, tokensPerSequence: PROMPT };
  const open = (batchSize: number, openCache: (options: typeof room & { batchSize: number }) => Cache) => {
    const cache = openCache({ ...room, batchSize });
    return { cache, batchSize, label: `${cache.label}, steps of ${formatNumber(batchSize)}` };
  };
  const ours = open(SMALL_BATCH, (options) => openPages(rig, options));
  const stock = [SMALL_BATCH, LARGE_BATCH].map((batchSize) =>
    open(batchSize, (options) => openStock(rig, { ...options, unified: true })),
  );
  const contenders = [ours, ...stock];
  const ms = inTurns(rounds, contenders, ({ cache, batchSize }, round) => {
    onProgress(load, round / rounds);
    cache.rewind(0, 0);
    return milliseconds(() => prefill(cache, 0, PROMPT, batchSize));
  });
  onProgress(load, 1);
  for (const { cache } of contenders) cache.dispose();
  const [first, ...others] = contenders.map(({ label, batchSize }, i) => {
    const steps = PROMPT / batchSize;
    // Each step reads what the steps before it have written.
    const kvTokens = (PROMPT * (steps + 1)) / 2;
    const least = limitMs({ steps, rows: PROMPT, outputs: steps, attended: (PROMPT * (PROMPT + 1)) / 2, kvTokens });
    return speed(label, PROMPT, ms[i]!, least);
  });
  const better = others.toSorted((a, b) => median(b.tokensPerSecond) - median(a.tokensPerSecond))[0]!;
  return { load, speeds: [first!, better] };
}

function sharedPrefix(rig: Rig, { rounds, onProgress }: PartOptions, limitMs: LimitMs): Comparison {
  const load = `decode, ${SEQUENCES} over a shared prefix of ${formatNumber(PREFIX)} tokens, ${OWN} of their own`;
  const holder = SEQUENCES;
  const room = { sequences: SEQUENCES + 1, tokensPerSequence: PREFIX + OWN + 1 + STEPS, batchSize: SMALL_BATCH };
  const sequences = range(0, SEQUENCES);
  const shared = [openPages(rig, room), openStock(rig, { ...room, unified: true })];
  for (const cache of shared) {
    prefill(cache, holder, PREFIX, room.batchSize);
    for (const sequence of sequences) {
      cache.share(holder, sequence);
      prefill(cache, sequence, OWN, room.batchSize);
    }
  }
  const alone = openPages(rig, { ...room, tokensPerSequence: ALONE + 1 + STEPS });
  prefill(alone, 0, ALONE, room.batchSize);
  for (const sequence of range(1, SEQUENCES)) alone.copy(0, sequence);

  const caches = [...shared, alone];
  const ms = inTurns(rounds, caches, (cache, round) => {
    onProgress(load, round / rounds);
    return decodeStepMs(cache, sequences, STEPS);
  });
  onProgress(load, 1);
  for (const cache of caches) cache.dispose();
  const leastShared = limitMs({ attended: SEQUENCES * (PREFIX + OWN), kvTokens: PREFIX + SEQUENCES * OWN });
  const leastAlone = limitMs({ attended: SEQUENCES * ALONE, kvTokens: SEQUENCES * ALONE });
  const [pages, stock, without] = ms.map((samples, i) => ({ label: caches[i]!.label, samples }));
  return {
    load,
    speeds: [
      speed(pages!.label, SEQUENCES, pages!.samples, leastShared),
      speed(stock!.label, SEQUENCES, stock!.samples, leastShared),
      speed(`pages, ${SEQUENCES} × ${ALONE} tokens without it`, SEQUENCES, without!.samples, leastAlone),
    ],
  };
}

function speed(label: string, tokens: number, ms: readonly number[], leastMs: number): Speed {
  return { label, tokensPerSecond: ms.map((sample) => (tokens / sample) * 1_000), limit: (tokens / leastMs) * 1_000 };
}

function speedTable(comparisons: readonly Comparison[]): Table {
  return {
    header: ['load', 'keys and values', 'tok/s', 'pages ÷ this', 'machine’s limit tok/s', 'of it'],
    rows: comparisons.flatMap(({ load, speeds }) => {
      const ours = speeds[0]!.tokensPerSecond;
      return speeds.map(({ label, tokensPerSecond, limit }, i) => [
        load,
        label,
        formatSpread(spread(tokensPerSecond)),
        i === 0 ? '' : formatSpread(spread(tokensPerSecond.map((other, round) => ours[round]! / other))),
        formatNumber(limit),
        `${formatNumber((median(tokensPerSecond) / limit) * 100)} %`,
      ]);
    }),
  };
}
