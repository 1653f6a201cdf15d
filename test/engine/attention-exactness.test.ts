import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PAGE_TOKENS } from '../../src/attention/index.js';
import {
  type Heads,
  Kernel,
  LEVELS,
  PagePool,
  type Random,
  type Row,
  random,
  randomSequence,
  range,
  type Sequence,
} from './attention-harness.js';

const PAGES = 192;

/** What the outputs must be to the bit: each sequence alone, one row a step, in pages of its own in order. */
async function alone(heads: Heads, level: string, sequence: Sequence): Promise<Float32Array[]> {
  const pages = Math.ceil(sequence.keys.length / PAGE_TOKENS);
  const kernel = new Kernel(heads, pages, level);
  const copy = { ...sequence, table: range(pages) };
  const outputs: Float32Array[] = [];
  for (const position of range(sequence.keys.length)) {
    outputs.push((await kernel.step([{ sequence: copy, position }]))[0]!);
  }
  kernel.dispose();
  return outputs;
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  const bytes = (x: Float32Array) => Buffer.from(x.buffer, x.byteOffset, x.byteLength);
  return bytes(a).equals(bytes(b));
}

/** Runs all sequences to their ends in steps with random chunks of random ones of them, in random order. */
async function crowd(kernel: Kernel, sequences: Sequence[], done: number[], maxChunk: number, next: Random) {
  const outputs: [Row, Float32Array][] = [];
  while (sequences.some((sequence, i) => done[i]! < sequence.keys.length)) {
    const rows: Row[] = [];
    const order = range(sequences.length).sort(() => next() - 0.5);
    for (const i of order) {
      const left = sequences[i]!.keys.length - done[i]!;
      const count = Math.min(left, Math.floor(next() * (maxChunk + 1)));
      for (const k of range(count)) rows.push({ sequence: sequences[i]!, position: done[i]! + k });
      done[i]! += count;
    }
    if (rows.length === 0) continue;
    const results = await kernel.step(rows, 1 + Math.floor(next() * 3));
    for (const [i, row] of rows.entries()) outputs.push([row, results[i]!]);
  }
  return outputs;
}

async function countDifferences(heads: Heads, level: string, outputs: [Row, Float32Array][]): Promise<number> {
  let different = 0;
  const expected = new Map<Sequence, Float32Array[]>();
  for (const [{ sequence, position }, output] of outputs) {
    if (!expected.has(sequence)) expected.set(sequence, await alone(heads, level, sequence));
    if (!sameBits(output, expected.get(sequence)![position]!)) different++;
  }
  return different;
}

const headsArbitrary = fc.record({
  kvHeads: fc.integer({ min: 1, max: 3 }),
  group: fc.integer({ min: 1, max: 9 }),
  headSize: fc.constantFrom(16, 64, 80, 96, 128, 256),
});

describe.each(LEVELS)('with the %s kernel, a row has the same bits alone and', (level) => {
  test('in a crowd: in any chunk, tile and thread, and in any pages', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        headsArbitrary,
        fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 1, max: 130 }),
        fc.integer(),
        async (heads, lengths, maxChunk, seed) => {
          const next = random(seed);
          const kernel = new Kernel(heads, PAGES, level);
          await kernel.poison();
          const pool = new PagePool(PAGES, next);
          const sequences = lengths.map((length) => randomSequence(heads, length, next));
          for (const sequence of sequences) pool.place(sequence);
          const outputs = await crowd(
            kernel,
            sequences,
            lengths.map(() => 0),
            maxChunk,
            next,
          );
          kernel.dispose();
          expect(await countDifferences(heads, level, outputs)).toBe(0);
        },
      ),
      { numRuns: 12, seed: 1 },
    );
  });

  test('where its prefix lies in pages that other sequences share', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        headsArbitrary,
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 1, max: 40 })), {
          minLength: 1,
          maxLength: 40,
        }),
        fc.integer({ min: 1, max: 20 }),
        fc.integer(),
        async (heads, prefixPages, tails, maxChunk, seed) => {
          const next = random(seed);
          const kernel = new Kernel(heads, PAGES, level);
          await kernel.poison();
          const pool = new PagePool(PAGES, next);
          const prefix = randomSequence(heads, prefixPages * PAGE_TOKENS + 5, next);
          pool.place(prefix);
          const before = await crowd(kernel, [prefix], [0], 100, next);
          const sequences = tails.map(([pages, tail]) => {
            const shared = Math.min(pages, prefixPages);
            const length = shared * PAGE_TOKENS + tail;
            const sequence = randomSequence(heads, length, next, prefix, shared * PAGE_TOKENS);
            sequence.table.push(...prefix.table.slice(0, shared));
            pool.place(sequence);
            return sequence;
          });
          const done = sequences.map(({ keys }, i) => keys.length - tails[i]![1]);
          const outputs = await crowd(kernel, sequences, done, maxChunk, next);
          kernel.dispose();
          expect(await countDifferences(heads, level, [...before, ...outputs])).toBe(0);
        },
      ),
      { numRuns: 12, seed: 2 },
    );
  });

  test('when tables agree in a page of a block and part within it', async () => {
    // A softmax block is four pages: sharing may end in its middle.
    const next = random(3);
    const heads = { kvHeads: 1, group: 2, headSize: 64 };
    const kernel = new Kernel(heads, PAGES, level);
    const pool = new PagePool(PAGES, next);
    const first = randomSequence(heads, 200, next);
    pool.place(first);
    await kernel.step(range(200).map((position) => ({ sequence: first, position })));
    const others = [64, 80, 96, 112, 128, 144].map((shared) => {
      const sequence = randomSequence(heads, 200, next, first, shared);
      sequence.table.push(...first.table.slice(0, shared / PAGE_TOKENS));
      pool.place(sequence);
      return { sequence, shared };
    });
    const rows = others.flatMap(({ sequence, shared }) =>
      range(200 - shared).map((i) => ({ sequence, position: shared + i })),
    );
    const results = await kernel.step(rows, 2);
    kernel.dispose();
    expect(
      await countDifferences(
        heads,
        level,
        rows.map((row, i) => [row, results[i]!]),
      ),
    ).toBe(0);
  });

  test.each([70, 71, 72])('when a later token of its chunk, number %i, is infinite', async (infinite) => {
    const next = random(5);
    const heads = { kvHeads: 1, group: 2, headSize: 64 };
    const sequence = randomSequence(heads, 100, next);
    sequence.keys[infinite]!.fill(1e6);
    sequence.values[infinite]!.fill(1e6);
    const kernel = new Kernel(heads, PAGES, level);
    new PagePool(PAGES, next).place(sequence);
    const rows = range(100).map((position) => ({ sequence, position }));
    const results = await kernel.step(rows);
    kernel.dispose();
    const before: [Row, Float32Array][] = rows.slice(0, infinite).map((row, i) => [row, results[i]!]);
    expect(await countDifferences(heads, level, before)).toBe(0);
  });

  test('after its page was copied for a fork', async () => {
    const next = random(4);
    const heads = { kvHeads: 2, group: 3, headSize: 64 };
    const kernel = new Kernel(heads, PAGES, level);
    const pool = new PagePool(PAGES, next);
    const parent = randomSequence(heads, 60, next);
    const child = randomSequence(heads, 60, next, parent, 40);
    pool.place(parent);
    await kernel.step(range(40).map((position) => ({ sequence: parent, position })));
    child.table.push(...parent.table.slice(0, 2), pool.take());
    kernel.copyPage(parent.table[2]!, child.table[2]!);
    pool.place(child);
    const rows = [parent, child].flatMap((sequence) => range(20).map((i) => ({ sequence, position: 40 + i })));
    const results = await kernel.step(rows);
    kernel.dispose();
    expect(
      await countDifferences(
        heads,
        level,
        rows.map((row, i) => [row, results[i]!]),
      ),
    ).toBe(0);
  });
});
