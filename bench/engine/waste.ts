import { type ScheduledSequence, Scheduler, type Sequence } from '../../src/scheduler/index.js';
import { parseServingOptions } from '../../src/serving/options.js';
import { createRandom, type Random } from '../random.js';
import { formatNumber } from '../report/format.js';
import type { Table } from '../report/rows.js';
import type { Part } from './part.js';

/**
 * Lengths as in ShareGPT: the PagedAttention paper (Kwon et al. 2023, §6.1 and figure 11) gives the means, 161 tokens
 * in and 338 out. Their spread is ours: log-normal, which is as long-tailed as the paper's histograms.
 */
const MEAN_INPUT = 161;
const MEAN_OUTPUT = 338;
const SIGMA_INPUT = 1.2;
const SIGMA_OUTPUT = 0.9;
const MAX_MODEL_LEN = 2_048;
const REQUESTS = 2_000;

const BLOCK_SIZES = [16, 32, 64];
/** Tokens of a system prompt that all requests of a mix share; 0: none. */
const SHARED_PREFIXES = [0, 500];

/** Of all slots that running requests hold, averaged over the steps, the share without a token of use. */
interface Waste {
  blockSize: number;
  sharedPrefix: number;
  pages: number;
  /** What the same requests would waste with one contiguous piece each, of a length fixed when they start. */
  contiguous: { maxModelLen: number; powerOfTwo: number; finalLength: number };
  /** Tokens in the tables of running requests for each slot they hold: above 1 where blocks are shared. */
  tokensPerSlot: number;
  steps: number;
}

/** W7: memory that is allocated and holds nothing, by the real scheduler and its books, without a model. */
export const wastePart: Part = {
  id: 'waste',
  title: 'W7: memory that is allocated and not used',
  usesModel: false,
  async run({ onProgress }) {
    const wastes: Waste[] = [];
    for (const sharedPrefix of SHARED_PREFIXES) {
      for (const blockSize of BLOCK_SIZES) {
        const label = `${sharedPrefix} shared tokens, blocks of ${blockSize}`;
        onProgress(label, 0);
        wastes.push(simulateWaste({ requests: REQUESTS, blockSize, sharedPrefix }));
        onProgress(label, 1);
      }
    }
    return { figures: wastes, tables: [wasteTable(wastes)], pictures: [], notes: [] };
  },
};

interface Simulation {
  requests: number;
  blockSize: number;
  sharedPrefix: number;
}

/** Runs all requests, which wait from the start, through scheduler and KV cache; a step computes nothing. */
export function simulateWaste({ requests, blockSize, sharedPrefix }: Simulation): Waste {
  const { maxNumSeqs, maxNumBatchedTokens } = parseServingOptions({});
  const scheduler = new Scheduler({
    numBlocks: (maxNumSeqs * MAX_MODEL_LEN) / blockSize,
    blockSize,
    enablePrefixCaching: true,
    maxNumSeqs,
    maxNumBatchedTokens,
    maxModelLen: MAX_MODEL_LEN,
    targetItlMs: 0,
    policy: 'continuous',
    batchWindowMs: 0,
  });
  const random = createRandom('W7');
  const outputs = addRequests(scheduler, requests, sharedPrefix, random);

  const running = new Set<Sequence>();
  const slots = { pages: 0, tokens: 0, used: 0, maxModelLen: 0, powerOfTwo: 0, finalLength: 0 };
  let steps = 0;
  for (; scheduler.runningCount + scheduler.waitingCount > 0; steps++) {
    const plan = scheduler.plan(steps);
    for (const { sequence } of plan.scheduled) running.add(sequence);
    scheduler.commit(plan);
    const allocated = scheduler.blocks().used * blockSize;
    slots.pages += allocated;
    slots.used += distinctTokens(running, blockSize);
    for (const sequence of running) {
      const length = sequence.promptLength + outputs.get(sequence.requestId)!;
      slots.tokens += sequence.table.computed;
      slots.maxModelLen += MAX_MODEL_LEN;
      slots.powerOfTwo += sequence.promptLength + 2 ** Math.ceil(Math.log2(length - sequence.promptLength));
      slots.finalLength += length;
    }
    for (const sequence of appendTokens(scheduler, plan.scheduled, outputs, random)) running.delete(sequence);
  }
  return {
    blockSize,
    sharedPrefix,
    pages: 1 - slots.used / slots.pages,
    contiguous: {
      maxModelLen: 1 - slots.tokens / slots.maxModelLen,
      powerOfTwo: 1 - slots.tokens / slots.powerOfTwo,
      finalLength: 1 - slots.tokens / slots.finalLength,
    },
    tokensPerSlot: slots.tokens / slots.pages,
    steps,
  };
}

/** Returns how many tokens each request will generate, by its id. */
function addRequests(
  scheduler: Scheduler,
  requests: number,
  sharedPrefix: number,
  random: Random,
): Map<string, number> {
  const outputs = new Map<string, number>();
  const atLeastOne = (length: number) => Math.max(1, Math.round(length));
  for (let i = 0; i < requests; i++) {
    const input = Math.min(sharedPrefix + atLeastOne(random.logNormal(MEAN_INPUT, SIGMA_INPUT)), MAX_MODEL_LEN - 1);
    const output = Math.min(atLeastOne(random.logNormal(MEAN_OUTPUT, SIGMA_OUTPUT)), MAX_MODEL_LEN - input);
    const promptTokenIds = Int32Array.from({ length: input }, (_, at) =>
      at < sharedPrefix ? at : random.integer(0, 32_000),
    );
    const id = String(i);
    scheduler.add({ id, promptTokenIds, maxTokens: output, n: 1, priority: 0, cacheSalt: '' });
    outputs.set(id, output);
  }
  return outputs;
}

/** Tokens in the blocks of these sequences, each block once. */
function distinctTokens(sequences: Iterable<Sequence>, blockSize: number): number {
  const filled = new Map<number, number>();
  for (const { table } of sequences) {
    table.blocks.forEach((block, i) => {
      filled.set(block, Math.min(blockSize, table.computed - i * blockSize));
    });
  }
  let tokens = 0;
  for (const count of filled.values()) tokens += count;
  return tokens;
}

/** Gives every sequence that sampled a token. Returns those that have all of theirs. */
function appendTokens(
  scheduler: Scheduler,
  scheduled: readonly ScheduledSequence[],
  outputs: ReadonlyMap<string, number>,
  random: Random,
): Sequence[] {
  const ended: Sequence[] = [];
  for (const { sequence, samples } of scheduled) {
    if (!samples) continue;
    scheduler.append(sequence, random.integer(0, 32_000));
    if (sequence.tokens.length - sequence.promptLength < outputs.get(sequence.requestId)!) continue;
    scheduler.finish(sequence);
    ended.push(sequence);
  }
  return ended;
}

function wasteTable(wastes: readonly Waste[]): Table {
  const percent = (share: number) => `${formatNumber(share * 100)} %`;
  return {
    header: [
      'requests',
      'allocation',
      'wasted',
      'same requests contiguous: model length',
      'power of two',
      'final length',
      'tokens served per slot',
    ],
    rows: wastes.map(({ blockSize, sharedPrefix, pages, contiguous, tokensPerSlot }) => [
      sharedPrefix === 0 ? 'prompts of their own' : `${sharedPrefix} tokens shared by all`,
      `blocks of ${blockSize}`,
      percent(pages),
      percent(contiguous.maxModelLen),
      percent(contiguous.powerOfTwo),
      percent(contiguous.finalLength),
      formatNumber(tokensPerSlot),
    ]),
  };
}
