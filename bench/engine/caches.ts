import { PAGE_TOKENS, PagedAttention } from '../../src/attention/index.js';
import { Executor } from '../../src/engine/executor.js';
import { laneCount, openLanes } from '../../src/engine/lanes.js';
import { LlamaBatch } from '../../src/llama/index.js';
import { benchTokens, type Rig } from './rig.js';

/** Tokens that a step computes at the end of a sequence. */
export interface Append {
  sequence: number;
  count: number;
}

/**
 * One way to keep keys and values, driven by hand: steps of exactly the shape that a measurement wants. Sequences are
 * numbers from 0, empty at first. What a token is does not matter to speed, so position p of each is the same token.
 */
export interface Cache {
  label: string;
  /** Computes one step, with the logits after each sequence's last token. */
  step(appends: readonly Append[]): void;
  /** Makes `target`, empty so far, hold the same as `source` in memory of its own. */
  copy(source: number, target: number): void;
  /** Makes `target`, empty so far, hold the same as `source` by reference. */
  share(source: number, target: number): void;
  /** Forgets what is behind `length` tokens. */
  rewind(sequence: number, length: number): void;
  length(sequence: number): number;
  dispose(): void;
}

export interface CacheOptions {
  sequences: number;
  /** Tokens that each sequence may hold. */
  tokensPerSequence: number;
  /** Most tokens of one step. */
  batchSize: number;
  /** Stands between llama.cpp and the pages, or alone before llama.cpp's own cache. */
  evalCallback?: (inner?: EvalCallback) => EvalCallback;
}

/** Addresses for `llama_context_params.cb_eval` and `cb_eval_user_data`. */
export interface EvalCallback {
  evalCallback: bigint;
  evalCallbackData: bigint;
}

/** Fills a sequence by steps of at most `batchSize`. */
export function prefill(cache: Cache, sequence: number, tokens: number, batchSize: number): void {
  for (let rest = tokens; rest > 0; rest -= batchSize) cache.step([{ sequence, count: Math.min(rest, batchSize) }]);
}

/** Our pages, through the engine's own executor. */
export function openPages(rig: Rig, options: CacheOptions): Cache {
  const { sequences, tokensPerSequence, batchSize } = options;
  const pagesPerSequence = Math.ceil(tokensPerSequence / PAGE_TOKENS);
  const scratchPage = sequences * pagesPerSequence;
  const lanePages = Array.from({ length: laneCount(rig.threads) }, (_, i) => scratchPage + 1 + i);
  const attention = new PagedAttention(rig.pageMemory((scratchPage + 1 + lanePages.length) * PAGE_TOKENS));
  const { evalCallback, evalCallbackData } = options.evalCallback?.(attention) ?? attention;
  const context = rig.model.createContext({
    batchSize,
    maxSequences: sequences,
    maxOutputs: sequences,
    threads: rig.threads,
    threadPool: rig.threadPool,
    evalCallback,
    evalCallbackData,
  });
  // Attention under observation is observed in one context.
  const lanes =
    options.evalCallback === undefined
      ? openLanes({
          ...{ llama: rig.llama, model: rig.model, threads: rig.threads, attention, batchSize },
          ...{ maxSequences: sequences, scratchPages: lanePages },
        })
      : undefined;
  const executor = new Executor({ context, attention, blockSize: PAGE_TOKENS, scratchPage, rowPadding: 1, lanes });
  const tokens = benchTokens(tokensPerSequence, rig.model.vocab.size);
  const own = (sequence: number, i: number) => sequence * pagesPerSequence + i;
  const tables = Array.from({ length: sequences }, (_, s) =>
    Array.from({ length: pagesPerSequence }, (_, i) => own(s, i)),
  );
  const lengths = new Array<number>(sequences).fill(0);
  return {
    label: 'pages',
    step(appends) {
      const chunks = appends.map(({ sequence, count }) => ({
        tokens,
        start: lengths[sequence]!,
        count,
        blocks: tables[sequence]!,
        wantsLogits: true,
      }));
      executor.run(chunks);
      for (const { sequence, count } of appends) lengths[sequence]! += count;
    },
    copy(source, target) {
      const used = Math.ceil(lengths[source]! / PAGE_TOKENS);
      for (let i = 0; i < used; i++) attention.copyPage(tables[source]![i]!, tables[target]![i]!);
      lengths[target] = lengths[source]!;
    },
    share(source, target) {
      const full = Math.floor(lengths[source]! / PAGE_TOKENS);
      tables[target] = [...tables[source]!.slice(0, full), ...tables[target]!.slice(full)];
      lengths[target] = full * PAGE_TOKENS;
    },
    rewind(sequence, length) {
      lengths[sequence] = length;
    },
    length: (sequence) => lengths[sequence]!,
    dispose() {
      lanes?.dispose();
      context.dispose();
      attention.dispose();
    },
  };
}

/** llama.cpp's own cache: cells that all sequences share (`unified`), or a slice of them for each (streams). */
export function openStock(rig: Rig, options: CacheOptions & { unified: boolean }): Cache {
  const { sequences, tokensPerSequence, batchSize, unified } = options;
  const context = rig.model.createContext({
    batchSize,
    maxSequences: sequences,
    maxOutputs: sequences,
    threads: rig.threads,
    threadPool: rig.threadPool,
    contextLength: sequences * tokensPerSequence,
    unified,
    ...options.evalCallback?.(),
  });
  const tokens = benchTokens(tokensPerSequence, rig.model.vocab.size);
  const batch = new LlamaBatch(batchSize);
  const lengths = new Array<number>(sequences).fill(0);
  let saved: { source: number; length: number; bytes: Uint8Array } | undefined;
  return {
    label: unified ? 'stock, unified' : 'stock, streams',
    step(appends) {
      let row = 0;
      for (const { sequence, count } of appends) {
        for (let i = 0; i < count; i++, row++) {
          const position = lengths[sequence]! + i;
          batch.tokens[row] = tokens[position]!;
          batch.positions[row] = position;
          batch.sequenceIds[row] = sequence;
          batch.wantsLogits[row] = i === count - 1 ? 1 : 0;
        }
        lengths[sequence]! += count;
      }
      batch.length = row;
      context.decode(batch);
    },
    copy(source, target) {
      const length = lengths[source]!;
      if (saved?.source !== source || saved.length !== length) {
        saved = { source, length, bytes: context.state.saveSequence(source) };
      }
      context.state.restoreSequence(target, saved.bytes);
      lengths[target] = length;
    },
    share(source, target) {
      context.memory.seqCopy(source, target, 0, -1);
      lengths[target] = lengths[source]!;
    },
    rewind(sequence, length) {
      context.memory.seqRemove(sequence, length, -1);
      lengths[sequence] = length;
    },
    length: (sequence) => lengths[sequence]!,
    dispose: () => context.dispose(),
  };
}
