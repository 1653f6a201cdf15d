import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mostSequences } from '../../src/engine/cell-sequences.js';
import { CellsExecutor } from '../../src/engine/cells-executor.js';
import { Engine, type EngineOptions } from '../../src/engine/engine.js';
import type { Chunk } from '../../src/engine/executor.js';
import type { Pooling } from '../../src/engine/protocol.js';
import { TokenMasks } from '../../src/grammar/index.js';
import { portableSelection } from '../../src/selection/index.js';
import { embedRequest, engineRequest } from '../support/engine-requests.js';
import { FAKE_VOCAB_SIZE, FakeCells, type FakeMemoryKind, fakeLogits } from '../support/fake-cells.js';
import { type RandomClient, randomClient } from '../support/random-client.js';
import { createRecorder } from '../support/run-engine.js';

interface Setting {
  kind: FakeMemoryKind;
  numBlocks: number;
  blockSize: number;
  enablePrefixCaching: boolean;
  maxNumSeqs: number;
  maxNumBatchedTokens: number;
  /** Ids beyond those of running sequences. */
  spareIds: number;
  mostIdleBlocks: number;
}

const setting = (kind: FakeMemoryKind): fc.Arbitrary<Setting> =>
  fc
    .record({
      numBlocks: fc.integer({ min: 20, max: 50 }),
      blockSize: fc.constantFrom(4, 8),
      enablePrefixCaching: fc.constantFrom(true, true, kind === 'recurrent'),
      maxNumSeqs: fc.integer({ min: 1, max: 8 }),
      extraBudget: fc.nat(40),
      spareIds: fc.integer({ min: 1, max: 6 }),
      mostIdleBlocks: fc.constantFrom(6, 99, 99),
    })
    .map(({ extraBudget, ...rest }) => ({
      ...rest,
      kind,
      enablePrefixCaching: rest.enablePrefixCaching && kind !== 'recurrent',
      maxNumBatchedTokens: rest.maxNumSeqs + extraBudget,
    }));

/** Some of the clients want an embedding of their prompt. */
function poolingOf(client: number): Pooling | undefined {
  return ([undefined, undefined, 'mean', 'last'] as const)[client % 4];
}

/** Runs a load to its end. Returns what clients saw. */
function serve(
  setting: Setting,
  clients: readonly RandomClient[],
  executor: EngineOptions['executor'],
  lost: number[] = [],
) {
  const engine = new Engine({
    ...setting,
    maxModelLen: 80,
    targetItlMs: 0,
    policy: 'continuous',
    batchWindowMs: 0,
    executor,
    selection: portableSelection,
    vocabSize: FAKE_VOCAB_SIZE,
    endTokens: [],
    masks: new TokenMasks({
      size: FAKE_VOCAB_SIZE,
      pieceBytes: () => new Uint8Array(),
      isEndOfGeneration: () => false,
    }),
    checkEveryStep: true,
  });
  const recorder = createRecorder();
  const lastArrival = Math.max(...clients.map(({ arrivesAt }) => arrivesAt));
  for (let step = 0; step <= lastArrival || engine.hasWork(); step++) {
    if (step > 4000) throw new Error('somebody starves');
    for (const [i, { prompt, arrivesAt, abortsAfter, maxTokens, ...rest }] of clients.entries()) {
      const sampling = { temperature: 1, seed: i, maxTokens };
      const pooling = poolingOf(i);
      if (arrivesAt === step && pooling !== undefined) {
        engine.embed(embedRequest(`r${i}`, prompt, { pooling, priority: rest.priority, cacheSalt: rest.cacheSalt }));
      } else if (arrivesAt === step && rest.n <= setting.maxNumSeqs) {
        engine.add(engineRequest(`r${i}`, prompt, { ...rest, sampling, promptLogprobs: i % 4 === 1 ? 2 : null }));
      }
      if (abortsAfter !== undefined && step === arrivesAt + abortsAfter) engine.abort(`r${i}`);
    }
    engine.step();
    engine.forget(lost.splice(0));
    recorder.record(engine.takeEvents().filter(({ type }) => type !== 'rejected'));
  }
  return { ...recorder, stats: engine.stats() };
}

/** A model without any KV cache: whatever the step is, it reads all tokens from the first one on. */
function forgetfulExecutor(): EngineOptions['executor'] {
  let logits: Float32Array[] = [];
  return {
    run(chunks: readonly Chunk[]) {
      for (const { tokens, start, count, reader } of chunks) {
        for (let end = start; end < start + count; end++) reader?.take(end, fakeLogits(tokens.subarray(0, end + 1)));
      }
      logits = chunks.map(({ tokens, start, count }) => fakeLogits(tokens.subarray(0, start + count)));
    },
    logits: (index) => logits[index],
  };
}

/** An embedding without any engine. */
function vectorOf({ prompt }: RandomClient, client: number): Float32Array {
  const states = Array.from(prompt, (_, i) => fakeLogits(prompt.subarray(0, i + 1)));
  if (poolingOf(client) === 'last') return states.at(-1)!;
  return states[0].map((_, i) => states.reduce((sum, state) => sum + state[i], 0) / states.length);
}

const seen = { lost: 0, preemptions: 0, prefixHitTokens: 0 };

function compare(setting: Setting, clients: readonly RandomClient[]): void {
  const { kind, numBlocks, blockSize, maxNumSeqs, spareIds, mostIdleBlocks, maxNumBatchedTokens, enablePrefixCaching } =
    setting;
  const windowed = kind === 'windowed';
  const ids = (maxNumSeqs + spareIds) * (windowed ? 2 : 1);
  const cells = numBlocks * blockSize;
  const context = new FakeCells({ batchSize: maxNumBatchedTokens, cells, ids, kind, window: blockSize + 1 });
  const lost: number[] = [];
  const executor = new CellsExecutor({
    context,
    blockSize,
    ids,
    windowed,
    wholeOnly: kind === 'recurrent',
    mostIdleBlocks: enablePrefixCaching ? mostIdleBlocks : 0,
    onLost: (blocks) => lost.push(...blocks),
  });
  const counting: EngineOptions['executor'] = {
    run(chunks, copies) {
      executor.run(chunks, copies);
      seen.lost += lost.length;
    },
    logits: (index) => executor.logits(index),
  };
  const actual = serve(setting, clients, counting, lost);
  const expected = serve(setting, clients, forgetfulExecutor());
  for (const [key, { tokens }] of actual.transcripts) {
    const other = expected.transcripts.get(key)?.tokens ?? [];
    const common = Math.min(tokens.length, other.length);
    expect(tokens.slice(0, common), key).toEqual(other.slice(0, common));
    const client = Number(key.slice(1, key.indexOf('/')));
    const { abortsAfter, maxTokens } = clients[client];
    if (poolingOf(client) !== undefined) {
      const id = `r${client}`;
      const wasAborted = abortsAfter !== undefined && !actual.vectors.has(id);
      if (!wasAborted) expect(actual.vectors.get(id), id).toEqual(vectorOf(clients[client], client));
    } else if (abortsAfter === undefined && client % 4 === 1) {
      const scores = actual.promptLogprobs.get(`r${client}`);
      expect(scores).toHaveLength(clients[client].prompt.length - 1);
      expect(scores).toEqual(expected.promptLogprobs.get(`r${client}`));
    }
    if (poolingOf(client) === undefined && abortsAfter === undefined)
      expect([key, tokens.length]).toEqual([key, maxTokens]);
  }
  expect(context.mostUsed).toBeLessThanOrEqual(cells);
  seen.preemptions += actual.stats.preemptions;
  seen.prefixHitTokens += actual.stats.prefixHitTokens;
}

describe('block tables mirrored in the cells of llama.cpp', () => {
  it.each(['attention', 'windowed', 'recurrent'] as const)(
    'give every request its own past, within as many cells as blocks have: %s layers',
    (kind) => {
      Object.assign(seen, { lost: 0, preemptions: 0, prefixHitTokens: 0 });
      fc.assert(fc.property(setting(kind), fc.array(randomClient, { minLength: 1, maxLength: 14 }), compare), {
        numRuns: 300,
      });
      // The hard cases did occur.
      expect(seen.preemptions).toBeGreaterThan(0);
      if (kind === 'recurrent') return;
      expect(seen.prefixHitTokens).toBeGreaterThan(0);
      expect(seen.lost).toBeGreaterThan(0);
    },
  );

  it('computes again what no sequence holds any more', () => {
    const context = new FakeCells({ batchSize: 6, cells: 64, ids: 4, kind: 'attention', window: 0 });
    const options = { blockSize: 4, ids: 4, windowed: false, wholeOnly: false, mostIdleBlocks: 99, onLost() {} };
    const executor = new CellsExecutor({ ...options, context });
    const tokens = Int32Array.from({ length: 12 }, (_, i) => i % 5);
    executor.run([{ tokens, start: 9, count: 2, blocks: [3, 1, 2], wantsLogits: true }]);
    expect(executor.logits(0)).toEqual(fakeLogits(tokens.subarray(0, 11)));
    expect(context.computed).toBe(11);
  });

  it('shares no more of a block than its holder has computed', () => {
    const context = new FakeCells({ batchSize: 16, cells: 64, ids: 4, kind: 'attention', window: 0 });
    const options = { blockSize: 4, ids: 4, windowed: false, wholeOnly: false, mostIdleBlocks: 99, onLost() {} };
    const executor = new CellsExecutor({ ...options, context });
    const tokens = Int32Array.from({ length: 12 }, (_, i) => i % 5);
    executor.run([{ tokens, start: 0, count: 6, blocks: [3, 1], wantsLogits: false }]);
    executor.run([{ tokens, start: 8, count: 1, blocks: [3, 1, 2], wantsLogits: true }]);
    expect(executor.logits(0)).toEqual(fakeLogits(tokens.subarray(0, 9)));
    // The first block was shared, the second computed again.
    expect(context.computed).toBe(6 + 4 + 1);
  });

  it('shares a recurrent state only where it is that of the shared tokens', () => {
    const context = new FakeCells({ batchSize: 16, cells: 64, ids: 4, kind: 'recurrent', window: 0 });
    const options = { blockSize: 4, ids: 4, windowed: false, wholeOnly: true, mostIdleBlocks: 99, onLost() {} };
    const executor = new CellsExecutor({ ...options, context });
    const tokens = Int32Array.from({ length: 12 }, (_, i) => i % 5);
    executor.run([{ tokens, start: 0, count: 9, blocks: [3, 1, 2], wantsLogits: false }]);
    executor.run([{ tokens, start: 8, count: 1, blocks: [3, 1, 4], wantsLogits: true }]);
    expect(executor.logits(0)).toEqual(fakeLogits(tokens.subarray(0, 9)));
    expect(context.computed).toBe(9 + 8 + 1);
    executor.run([{ tokens, start: 9, count: 1, blocks: [3, 1, 4], wantsLogits: true }]);
    executor.run([{ tokens, start: 10, count: 1, blocks: [3, 1, 4], wantsLogits: true }]);
    expect(executor.logits(0)).toEqual(fakeLogits(tokens.subarray(0, 11)));
  });

  it('gives up what was used least recently when ids run out', () => {
    const context = new FakeCells({ batchSize: 8, cells: 64, ids: 3, kind: 'attention', window: 0 });
    const lost: number[] = [];
    const onLost = (blocks: readonly number[]) => lost.push(...blocks);
    const options = { blockSize: 4, ids: 3, windowed: false, wholeOnly: false, mostIdleBlocks: 99, onLost };
    const executor = new CellsExecutor({ ...options, context });
    const tokens = Int32Array.from({ length: 8 }, (_, i) => i);
    const run = (blocks: number[], start: number, count: number): void => {
      executor.run([{ tokens, start, count, blocks, wantsLogits: false }]);
      blocks.length = 0;
    };
    for (const block of [0, 1, 2]) run([block], 0, 4);
    run([0, 3], 4, 1);
    expect(lost).toEqual([1]);
  });

  it('keeps as many idle blocks as it may, and blocks that somebody computes with besides', () => {
    const context = new FakeCells({ batchSize: 8, cells: 64, ids: 8, kind: 'attention', window: 0 });
    const lost: number[] = [];
    const onLost = (blocks: readonly number[]) => lost.push(...blocks);
    const options = { blockSize: 4, ids: 8, windowed: false, wholeOnly: false, mostIdleBlocks: 2, onLost };
    const executor = new CellsExecutor({ ...options, context });
    const tokens = Int32Array.from({ length: 9 }, (_, i) => i);
    const run = (blocks: number[], start: number, count: number): void =>
      executor.run([{ tokens, start, count, blocks, wantsLogits: false }]);
    const tables = [[0], [1], [2]];
    for (const table of tables) run(table, 0, 4);
    const running = [0, 3];
    run(running, 4, 1);
    for (const table of tables) table.length = 0;
    run(running, 5, 1);
    expect(lost).toEqual([]);
    running.length = 0;
    run([4], 0, 1);
    // Blocks 0 to 3 are idle: the two that were used longest ago go.
    expect(lost.sort()).toEqual([1, 2]);
  });

  it('refuses to run more sequences than there are ids, of which windowed layers take two each', () => {
    expect([mostSequences(256, false), mostSequences(256, true)]).toEqual([256, 128]);
    const context = new FakeCells({ batchSize: 6, cells: 64, ids: 4, kind: 'windowed', window: 5 });
    const options = { blockSize: 4, ids: 4, windowed: true, wholeOnly: false, mostIdleBlocks: 99, onLost() {} };
    const executor = new CellsExecutor({ ...options, context });
    const chunks = [0, 1, 2].map((block) => ({
      tokens: Int32Array.from([1]),
      start: 0,
      count: 1,
      blocks: [block],
      wantsLogits: false,
    }));
    expect(() => executor.run(chunks)).toThrow('more than 2 sequences');
  });
});
