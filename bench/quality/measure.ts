import { PAGE_TOKENS, PagedAttention } from '../../src/attention/index.js';
import { LlamaBatch } from '../../src/llama/index.js';
import type { Rig } from '../engine/rig.js';
import { type MeanDifference, pairedDifference, quantiles } from '../statistics.js';
import type { StepProgress } from '../step-progress.js';
import type { Divergence, Reference } from './reference.js';

/** A way to compute a text: with keys and values in pages or in llama.cpp's own cache, in steps of so many rows. */
export interface Way {
  keysAndValues: 'pages' | 'stock';
  cut: number;
}

export interface Quality extends Way {
  klMean: number;
  klP99: number;
  klMax: number;
  /** Share of the positions where the most probable token is the reference's. */
  sameArgMax: number;
  /** Of the text, window by window. */
  perplexity: number;
}

/** By how much more pages diverge from the reference than stock does, both in steps of so many rows. */
export interface QualityDifference {
  cut: number;
  kl: MeanDifference;
}

export interface QualityReport {
  tokens: number;
  windows: number;
  referencePerplexity: number;
  ways: Quality[];
  differences: QualityDifference[];
}

/** Rows whose reference is held in memory at once. */
const ROWS = 512;

/**
 * How far each way's next-token distributions are from the reference's, at every position of a text. The text is cut
 * into windows that know nothing of each other.
 */
export async function measureQuality(options: {
  rig: Rig;
  reference: Reference;
  tokens: Int32Array;
  window: number;
  ways: readonly Way[];
  onProgress: StepProgress;
}): Promise<QualityReport> {
  const { rig, reference, tokens, window, ways, onProgress } = options;
  const windows = Math.ceil(tokens.length / window);
  const runs = ways.map((way) => ({ way, text: openText(rig, way, window), divergences: [] as Divergence[] }));
  let referenceLikelihood = 0;
  let targets = 0;
  try {
    for (let index = 0; index < windows; index++) {
      const text = tokens.subarray(index * window, (index + 1) * window);
      const label = `window ${index + 1} of ${windows}`;
      const hidden = await reference.hiddenStates(text, (fraction) => onProgress(`${label}, reference`, fraction));
      const width = hidden.length / text.length;
      for (const run of runs) run.text.begin();
      for (let from = 0; from < text.length; from += ROWS) {
        const to = Math.min(text.length, from + ROWS);
        const logProbabilities = await reference.logProbabilities(hidden.subarray(from * width, to * width));
        const rowOf = (row: number) =>
          logProbabilities.subarray((row - from) * reference.vocabSize, (row - from + 1) * reference.vocabSize);
        for (let row = from; row < to && row + 1 < text.length; row++) {
          referenceLikelihood -= rowOf(row)[text[row + 1]!]!;
          targets++;
        }
        for (const [done, { way, text: computed, divergences }] of runs.entries()) {
          onProgress(`${label}, pages and stock`, (from + ((to - from) * done) / runs.length) / text.length);
          for (let start = from; start < to; start += way.cut) {
            const end = Math.min(to, start + way.cut);
            computed.compute(text.subarray(start, end));
            for (let row = start; row < end; row++) {
              divergences.push(reference.compare(rowOf(row), computed.logits(row - start), text[row + 1] ?? 0));
            }
          }
        }
      }
      onProgress(`${label}, pages and stock`, 1);
    }
    const hasTarget = (position: number) => (position + 1) % window !== 0 && position + 1 < tokens.length;
    return {
      tokens: tokens.length,
      windows,
      referencePerplexity: Math.exp(referenceLikelihood / targets),
      ways: runs.map(({ way, divergences }) => ({ ...way, ...summarise(divergences, hasTarget) })),
      differences: differencesOf(runs),
    };
  } finally {
    for (const { text } of runs) text.dispose();
  }
}

/** Tokens that are taken as one sample of a difference: neighbours have most of their context in common. */
const BLOCK = 64;

function differencesOf(runs: readonly { way: Way; divergences: readonly Divergence[] }[]): QualityDifference[] {
  return runs.flatMap(({ way: { keysAndValues, cut }, divergences }) => {
    const stock = runs.find(({ way }) => way.keysAndValues === 'stock' && way.cut === cut);
    if (keysAndValues !== 'pages' || stock === undefined) return [];
    const kl = (values: readonly Divergence[]) => values.map((one) => one.kl);
    return [{ cut, kl: pairedDifference(kl(divergences), kl(stock.divergences), BLOCK) }];
  });
}

function summarise(
  divergences: readonly Divergence[],
  hasTarget: (position: number) => boolean,
): Omit<Quality, keyof Way> {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const kl = divergences.map((one) => one.kl);
  const [klP99, klMax] = quantiles(kl, [0.99, 1]);
  const likelihoods = divergences.filter((_, i) => hasTarget(i)).map((one) => one.negativeLogLikelihood);
  return {
    klMean: mean(kl),
    klP99: klP99!,
    klMax: klMax!,
    sameArgMax: mean(divergences.map((one) => Number(one.sameArgMax))),
    perplexity: Math.exp(mean(likelihoods)),
  };
}

/** One text at a time, computed step by step with the logits of every token. */
interface ComputedText {
  begin(): void;
  compute(tokens: Int32Array): void;
  /** Of a token of the last step. */
  logits(row: number): Float32Array;
  dispose(): void;
}

function openText(rig: Rig, { keysAndValues, cut }: Way, length: number): ComputedText {
  const attention = keysAndValues === 'pages' ? new PagedAttention(rig.pageMemory(length)) : undefined;
  const context = rig.model.createContext({
    batchSize: cut,
    maxSequences: 1,
    maxOutputs: cut,
    threads: rig.threads,
    threadPool: rig.threadPool,
    contextLength: attention ? cut : length,
    ...(attention && { evalCallback: attention.evalCallback, evalCallbackData: attention.evalCallbackData }),
  });
  const batch = new LlamaBatch(cut);
  batch.wantsLogits.fill(1);
  const table = Int32Array.from({ length: Math.ceil(length / PAGE_TOKENS) }, (_, page) => page);
  const tableOffsets = new Int32Array(cut);
  let position = 0;
  return {
    begin() {
      context.clearMemory();
      position = 0;
    },
    compute(tokens) {
      batch.length = tokens.length;
      batch.tokens.set(tokens);
      for (let row = 0; row < tokens.length; row++) batch.positions[row] = position + row;
      // The only sequence has its pages in order, so a position is its own slot.
      attention?.beginStep(batch.length, batch.positions, batch.positions, tableOffsets, table);
      context.decode(batch);
      if (attention) context.clearMemory();
      position += tokens.length;
    },
    logits: (row) => context.logits(row),
    dispose() {
      context.dispose();
      attention?.dispose();
    },
  };
}
