import { PAGE_TOKENS, PagedAttention, type StepAttention } from '../../src/attention/index.js';
import { Engine } from '../../src/engine/engine.js';
import { Executor } from '../../src/engine/executor.js';
import { type Lanes, laneCount, openLanes } from '../../src/engine/lanes.js';
import { MAX_SEQUENCES } from '../../src/engine/protocol.js';
import { hasTiledMatmuls, rowTileFor } from '../../src/engine/row-padding.js';
import { MAX_ROW_PADDING } from '../../src/engine/step-batch.js';
import { TokenMasks } from '../../src/grammar/index.js';
import { decodeTogether, LlamaBatch, type LlamaContext } from '../../src/llama/index.js';
import { parseServingOptions } from '../../src/serving/options.js';
import type { Rig } from './rig.js';

/** What one step gave to the kernel and to llama.cpp, in memory of its own: of one context, or of that of each lane. */
export type RecordedStep = readonly RecordedPart[];

export interface RecordedPart extends Announced {
  watched: WatchedContext;
  batch: LlamaBatch;
}

/** When one step reached which point, on the clock of `performance.now()`. */
export interface StepMarks {
  /** The plan is made and the executor begins. */
  run: number;
  /** The batch is filled. */
  decode: number;
  decoded: number;
  /** The first logits are asked for: the plan is committed. */
  sample: number;
}

/** An engine in this process, watched from outside: from the seams between its parts. */
export interface ObservedEngine {
  engine: Engine;
  /** Of the last step. */
  readonly marks: StepMarks;
  /** Keeps what steps do from now on, until {@link takeRecord}. Keeping it takes time: {@link recordMs} in all. */
  record(): void;
  takeRecord(): { steps: RecordedStep[]; recordMs: number };
  /** Computes a recorded step again: the native calls alone. It writes the same keys and values to the same places. */
  replay(step: RecordedStep): void;
  dispose(): void;
}

/** Its parts and their sizes are those of `quire serve`, but for the ones given here. */
export function openObservedEngine(rig: Rig, options: { maxNumSeqs: number; tokens: number }): ObservedEngine {
  const defaults = parseServingOptions({});
  const { blockSize, maxNumBatchedTokens } = defaults;
  const numBlocks = Math.ceil(options.tokens / blockSize);
  const poolPages = numBlocks * (blockSize / PAGE_TOKENS);
  const scratchPages = Array.from({ length: 1 + laneCount(rig.threads) }, (_, i) => poolPages + i);
  const [scratchPage, ...laneScratchPages] = scratchPages;
  const attention = new PagedAttention(rig.pageMemory((poolPages + scratchPages.length) * PAGE_TOKENS));
  // A server takes memory ahead of its use as well.
  for (let page = 0; page < poolPages; page++) attention.copyPage(scratchPage!, page);
  const batchSize = maxNumBatchedTokens + MAX_ROW_PADDING;
  const context = rig.model.createContext({
    batchSize,
    maxSequences: MAX_SEQUENCES + 1,
    maxOutputs: options.maxNumSeqs + MAX_ROW_PADDING,
    threads: rig.threads,
    threadPool: rig.threadPool,
    evalCallback: attention.evalCallback,
    evalCallbackData: attention.evalCallbackData,
  });
  const lanes = openLanes({
    ...{ llama: rig.llama, model: rig.model, threads: rig.threads, attention, batchSize },
    maxSequences: options.maxNumSeqs,
    scratchPages: laneScratchPages,
  });

  const marks: StepMarks = { run: 0, decode: 0, decoded: 0, sample: 0 };
  let recorded: RecordedStep[] | undefined;
  let recordMs = 0;
  const observe = <T>(decode: () => T, parts: () => RecordedStep): T => {
    if (recorded) {
      const began = performance.now();
      recorded.push(parts());
      recordMs += performance.now() - began;
    }
    marks.decode = performance.now();
    const result = decode();
    marks.decoded = performance.now();
    return result;
  };
  const watched = new WatchedContext(context, attention);
  const observedContext: LlamaContext = {
    ...context,
    decode: (batch) =>
      observe(
        () => context.decode(batch),
        () => [watched.record(batch)],
      ),
  };
  const fillsTiles = hasTiledMatmuls(rig.model.ftypeName);
  const executor = new Executor({
    context: observedContext,
    attention,
    blockSize,
    scratchPage: scratchPage!,
    rowPadding: 1,
    fillsTiles,
    lanes: lanes && observedLanes(lanes, observe),
  });
  const engine = new Engine({
    executor: {
      run(chunks, copies) {
        marks.run = performance.now();
        executor.run(chunks, copies);
        marks.sample = 0;
      },
      logits(index) {
        marks.sample ||= performance.now();
        return executor.logits(index);
      },
    },
    selection: rig.selection,
    vocabSize: rig.model.vocab.size,
    endTokens: [],
    masks: new TokenMasks(rig.model.vocab),
    numBlocks,
    blockSize,
    maxNumSeqs: options.maxNumSeqs,
    maxNumBatchedTokens,
    rowTile: rowTileFor(rig.model.ftypeName, lanes?.lanes.length ?? 1),
    maxModelLen: rig.model.trainContextLength,
    targetItlMs: defaults.targetItl,
    policy: defaults.policy,
    batchWindowMs: defaults.batchWindow,
    enablePrefixCaching: defaults.enablePrefixCaching,
    checkEveryStep: false,
  });

  return {
    engine,
    marks,
    record() {
      recorded = [];
      recordMs = 0;
    },
    takeRecord() {
      const steps = recorded ?? [];
      recorded = undefined;
      return { steps, recordMs };
    },
    replay(step) {
      for (const part of step) part.watched.announce(part);
      if (step.length === 1) watched.context.decode(step[0]!.batch);
      else {
        const decodes = step.map((part) => part.watched.context.prepare(part.batch));
        decodeTogether(decodes, (llamaDecode, calls) => lanes!.attention.compute(llamaDecode, calls));
      }
      for (const part of step) part.watched.context.clearMemory();
    },
    dispose() {
      lanes?.dispose();
      context.dispose();
      attention.dispose();
    },
  };
}

/** Lanes whose decodes are observed, all at once. */
function observedLanes(lanes: Lanes, observe: <T>(decode: () => T, parts: () => RecordedStep) => T): Lanes {
  const batches: (() => RecordedPart)[] = [];
  return {
    ...lanes,
    lanes: lanes.lanes.map((lane) => {
      const watched = new WatchedContext(lane.context, lane.attention);
      return {
        ...lane,
        context: {
          ...lane.context,
          prepare(batch) {
            batches.push(() => watched.record(batch));
            return lane.context.prepare(batch);
          },
        },
      };
    }),
    attention: {
      compute(llamaDecode, decodes) {
        const parts = batches.splice(0);
        return observe(
          () => lanes.attention.compute(llamaDecode, decodes),
          () => parts.map((part) => part()),
        );
      },
    },
  };
}

/** What attention is told of a step's rows. */
interface Announced {
  slots: Int32Array;
  tableOffsets: Int32Array;
  tables: Int32Array;
}

/** A context and its attention, which is watched for what it is told. */
class WatchedContext {
  readonly context: LlamaContext;
  private readonly attention: StepAttention;
  private last: Announced | undefined;

  constructor(context: LlamaContext, attention: StepAttention) {
    this.context = context;
    this.attention = attention;
    const beginStep = attention.beginStep.bind(attention);
    attention.beginStep = (rows, positions, slots, tableOffsets, tables) => {
      beginStep(rows, positions, slots, tableOffsets, tables);
      this.last = { slots, tableOffsets, tables };
    };
  }

  /** Copies of what the step is made of that was announced last, and is about to be computed. */
  record(batch: LlamaBatch): RecordedPart {
    const { slots, tableOffsets, tables } = this.last!;
    const rows = batch.length;
    return {
      ...{ watched: this, batch: copyOf(batch) },
      ...{ slots: slots.slice(0, rows), tableOffsets: tableOffsets.slice(0, rows), tables: tables.slice() },
    };
  }

  announce({ batch, slots, tableOffsets, tables }: RecordedPart): void {
    this.attention.beginStep(batch.length, batch.positions, slots, tableOffsets, tables);
    this.attention.expectOutputs(batch.wantsLogits);
  }
}

function copyOf(batch: LlamaBatch): LlamaBatch {
  const copy = new LlamaBatch(batch.length);
  for (const array of ['tokens', 'positions', 'sequenceIds', 'wantsLogits'] as const) {
    copy[array].set(batch[array].subarray(0, batch.length));
  }
  copy.length = batch.length;
  return copy;
}
