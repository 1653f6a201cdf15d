import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildKernel, PAGE_TOKENS, PagedAttention, type PageShape } from '../../src/attention/index.js';
import { type Chunk, Executor } from '../../src/engine/executor.js';
import { type Lanes, laneCount, openLanes } from '../../src/engine/lanes.js';
import { pageShapeFor } from '../../src/engine/page-support.js';
import { decodeTogether, LlamaBatch, type LlamaModel, loadLlama } from '../../src/llama/index.js';
import { pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';

const PAGES = 400;
const BATCH = 512;
const SEQUENCES = 64;

const llama = loadLlama({ device: 'cpu' });
let model: LlamaModel;
let shape: PageShape;
let libraries: { kernel: string; ggmlBaseLibrary: string };

beforeAll(async () => {
  model = llama.loadModel(await randomModelPath({ type: 'Q4_0', heads: 4, kvHeads: 2 }));
  libraries = { kernel: (await buildKernel()).path, ggmlBaseLibrary: llama.ggmlBaseLibrary };
  shape = pageShapeFor(model, 'i16', libraries);
});

afterAll(() => model.dispose());

interface Setup {
  attention: PagedAttention;
  lanes?: Lanes;
  executor: Executor;
  dispose(): void;
}

/** An executor over memory of its own; with lanes if it has more than one thread. */
function open(threads: number): Setup {
  const attention = new PagedAttention({ shape, pages: PAGES + 1 + laneCount(threads), threads, ...libraries });
  const { evalCallback, evalCallbackData } = attention;
  const context = model.createContext({
    ...{ batchSize: BATCH, maxSequences: SEQUENCES, maxOutputs: SEQUENCES, threads },
    ...{ evalCallback, evalCallbackData },
  });
  const lanes = openLanes({
    ...{ llama, model, attention, threads, batchSize: BATCH, maxSequences: SEQUENCES },
    scratchPages: Array.from({ length: laneCount(threads) }, (_, i) => PAGES + 1 + i),
  });
  const executor = new Executor({
    ...{ context, attention, lanes, blockSize: PAGE_TOKENS, scratchPage: PAGES, rowPadding: 1, fillsTiles: true },
  });
  return {
    attention,
    lanes,
    executor,
    dispose() {
      lanes?.dispose();
      context.dispose();
      attention.dispose();
    },
  };
}

/** Blocks of the sequence with this number, of 320 tokens at most; `shared` blocks are those of the first sequence. */
const blocksOf = (sequence: number, shared = 0) =>
  Array.from({ length: 20 }, (_, i) => ((i < shared ? i : sequence * 20 + i) * 7) % PAGES);

/** Prompts beside decodes, with a prefix that is shared; many decodes. */
function steps(): Chunk[][] {
  const prompts = Array.from({ length: 18 }, (_, i) => pseudoRandomTokens(310, i, model.vocab.size));
  const chunk = (sequence: number, start: number, count: number): Chunk => ({
    ...{ tokens: prompts[sequence]!, start, count, wantsLogits: true },
    blocks: blocksOf(sequence, sequence === 3 || sequence === 4 ? 4 : 0),
  });
  return [
    // One prompt, of which each lane has a part that the next one's rows read.
    [chunk(0, 0, 133)],
    [chunk(0, 133, 1), chunk(1, 0, 211)],
    // Two that go on from the first one's beginning.
    [chunk(0, 134, 1), chunk(1, 211, 40), chunk(3, 64, 100), chunk(4, 64, 37)],
    [chunk(2, 0, 64), chunk(5, 0, 64), chunk(6, 0, 64), chunk(7, 0, 7)],
    Array.from({ length: 10 }, (_, i) => chunk(8 + i, 0, 12)),
    [
      ...[chunk(0, 135, 1), chunk(1, 251, 1), chunk(3, 164, 1), chunk(4, 101, 1), chunk(2, 64, 1), chunk(5, 64, 1)],
      ...[6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17].map((i) => chunk(i, i === 6 ? 64 : 12, 1)),
      chunk(7, 7, 130),
    ],
    Array.from({ length: 18 }, (_, i) => chunk(i, [136, 252, 65, 165, 102, 65, 65, 137][i] ?? 13, i < 6 ? 1 : 3)),
  ];
}

/** Logits of all chunks of all steps. */
function answers({ executor }: Setup): Buffer[] {
  return steps().flatMap((chunks) => {
    executor.run(chunks);
    return chunks.map((_, i) => Buffer.from(Float32Array.from(executor.logits(i)).buffer));
  });
}

describe('a step in lanes', () => {
  it.each([
    ['two lanes', 2, 8],
    ['four lanes', 4, 3],
    ['three lanes of three threads', 9, 1],
  ])('has the same bits as in one context: %s', (_, threads, rounds) => {
    const alone = open(1);
    const side = open(threads);
    try {
      expect(alone.lanes).toBeUndefined();
      expect(side.lanes?.lanes).toHaveLength(laneCount(threads));
      const expected = answers(alone);
      for (let round = 0; round < rounds; round++) expect(answers(side)).toEqual(expected);
    } finally {
      side.dispose();
      alone.dispose();
    }
  });

  it('fails as a whole when one lane cannot go on, and nobody waits for it', () => {
    const setup = open(2);
    try {
      const { lanes, attention } = setup.lanes!;
      const rows = 40;
      const table = Int32Array.from({ length: 5 }, (_, i) => i);
      const batches = lanes.map((lane, i) => {
        const batch = new LlamaBatch(rows);
        const slots = Int32Array.from({ length: rows }, (_, row) => i * rows + row);
        for (let row = 0; row < rows; row++) {
          batch.tokens[row] = row;
          batch.positions[row] = i * rows + row;
          batch.sequenceIds[row] = 0;
          batch.wantsLogits[row] = row === rows - 1 ? 1 : 0;
        }
        // The second one computes fewer rows than were announced.
        lane.attention.beginStep(rows, batch.positions, slots, new Int32Array(rows), table);
        batch.length = i === 0 ? rows : rows - 4;
        return batch;
      });
      decodeTogether(
        lanes.map((lane, i) => lane.context.prepare(batches[i]!)),
        (llamaDecode, calls) => attention.compute(llamaDecode, calls),
      );
      expect(lanes[1]!.attention.takeError()).toMatch(/36 rows at once and the step has 40/);
      for (const { context } of lanes) context.clearMemory();
      // And the next step is as if that had not been.
      const alone = open(1);
      expect(answers(setup)).toEqual(answers(alone));
      alone.dispose();
    } finally {
      setup.dispose();
    }
  });

  it('tells what llama.cpp said', () => {
    const setup = open(2);
    try {
      const { lanes, attention } = setup.lanes!;
      const batch = new LlamaBatch(1);
      batch.length = 1;
      const prepared = lanes.map(({ context }) => context.prepare(batch));
      expect(() => decodeTogether(prepared, () => 1)).toThrow(/KV cache|room|slot/i);
      setup.lanes!.dispose();
      expect(() => attention.compute(0n, [])).toThrow(/disposed/);
    } finally {
      setup.dispose();
    }
  });
});
