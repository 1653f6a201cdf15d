import { PAGE_TOKENS, PagedAttention } from '../../src/attention/index.js';
import { Engine } from '../../src/engine/engine.js';
import { Executor } from '../../src/engine/executor.js';
import { MAX_SEQUENCES } from '../../src/engine/protocol.js';
import { hasTiledMatmuls } from '../../src/engine/row-padding.js';
import { MAX_ROW_PADDING } from '../../src/engine/step-batch.js';
import { TokenMasks } from '../../src/grammar/index.js';
import { LlamaBatch, type LlamaContext } from '../../src/llama/index.js';
import { parseServingOptions } from '../../src/serving/options.js';
import type { Rig } from './rig.js';

/** What one step gave to the kernel and to llama.cpp, in memory of its own. */
export interface RecordedStep {
  batch: LlamaBatch;
  slots: Int32Array;
  tableOffsets: Int32Array;
  tables: Int32Array;
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

/** Its parts and their sizes are those of `quire serve`, but for the ones given here, and but for lanes. */
export function openObservedEngine(rig: Rig, options: { maxNumSeqs: number; tokens: number }): ObservedEngine {
  const defaults = parseServingOptions({});
  const { blockSize, maxNumBatchedTokens } = defaults;
  const numBlocks = Math.ceil(options.tokens / blockSize);
  const scratchPage = numBlocks * (blockSize / PAGE_TOKENS);
  const attention = new ObservedAttention(rig.pageMemory((scratchPage + 1) * PAGE_TOKENS));
  // A server takes memory ahead of its use as well.
  for (let page = 0; page < scratchPage; page++) attention.copyPage(scratchPage, page);
  const context = rig.model.createContext({
    batchSize: maxNumBatchedTokens + MAX_ROW_PADDING,
    maxSequences: MAX_SEQUENCES + 1,
    maxOutputs: options.maxNumSeqs + MAX_ROW_PADDING,
    threads: rig.threads,
    threadPool: rig.threadPool,
    evalCallback: attention.evalCallback,
    evalCallbackData: attention.evalCallbackData,
  });

  const marks: StepMarks = { run: 0, decode: 0, decoded: 0, sample: 0 };
  let recorded: RecordedStep[] | undefined;
  let recordMs = 0;
  const observedContext: LlamaContext = {
    ...context,
    decode(batch) {
      if (recorded) {
        const began = performance.now();
        recorded.push({ batch: copyOf(batch), ...attention.announced(batch.length) });
        recordMs += performance.now() - began;
      }
      marks.decode = performance.now();
      context.decode(batch);
      marks.decoded = performance.now();
    },
  };
  const fillsTiles = hasTiledMatmuls(rig.model.ftypeName);
  const executor = new Executor({
    context: observedContext,
    attention,
    blockSize,
    scratchPage,
    rowPadding: 1,
    fillsTiles,
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
    replay({ batch, slots, tableOffsets, tables }) {
      attention.beginStep(batch.length, batch.positions, slots, tableOffsets, tables);
      context.decode(batch);
      context.clearMemory();
    },
    dispose() {
      context.dispose();
      attention.dispose();
    },
  };
}

/** Remembers what it was last told of. */
class ObservedAttention extends PagedAttention {
  private last: { slots: Int32Array; tableOffsets: Int32Array; tables: Int32Array } | undefined;

  override beginStep(
    rows: number,
    positions: Int32Array,
    slots: Int32Array,
    tableOffsets: Int32Array,
    tables: Int32Array,
  ): void {
    super.beginStep(rows, positions, slots, tableOffsets, tables);
    this.last = { slots, tableOffsets, tables };
  }

  /** Copies of the arrays of the step that was begun last. */
  announced(rows: number): Omit<RecordedStep, 'batch'> {
    const { slots, tableOffsets, tables } = this.last!;
    return { slots: slots.slice(0, rows), tableOffsets: tableOffsets.slice(0, rows), tables: tables.slice() };
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
