import { describe, expect, test } from 'vitest';
import type { PageType } from '../../src/attention/index.js';
import { drawProblem, type Extras, LEVELS, range, runKernel, runReference } from './attention-harness.js';
import { runStock, store } from './attention-stock.js';

const DRAWS = 5;

/** Stock attention has a way of its own for each of these; how far our error may exceed its. */
const SIZES = [
  { name: 'one row', rows: [1, 1], positions: [1, 500], slack: 1 },
  { name: 'one row of a longer sequence', rows: [1, 1], positions: [512, 900], slack: 1 },
  { name: 'fewer than 64 rows', rows: [2, 63], positions: [2, 400], slack: 1 },
  // The only one that computes in floats throughout, as we do: what remains is the order of sums, by chance better or
  // worse. With Q8_0, stock has no such way.
  { name: '64 rows and more', rows: [64, 250], positions: [64, 400], slack: 1.1 },
] as const;

const EXTRAS: [name: string, extras: Extras][] = [
  ['plain attention', {}],
  ['a sliding window', { window: 100 }],
  ['a soft-cap', { softcap: 30 }],
  ['ALiBi', { maxBias: 8 }],
  ['sinks', { sinks: true }],
  ['all of these', { window: 100, softcap: 30, maxBias: 8, sinks: true }],
];

/** Relative errors, squared and summed over draws. */
interface Errors {
  ours: number;
  stock: number;
}

/**
 * Random problems of one kind, by us and by llama.cpp, against attention in doubles over the very keys and values that
 * llama.cpp's cache holds. It cannot hold what I16 pages do: those are compared with its F16 cells, over the keys and
 * values as they were given to both. The error of a draw is the root mean square over all its outputs, relative to the root mean
 * square of the outputs themselves.
 */
async function errorsOf(
  size: (typeof SIZES)[number],
  pageType: PageType,
  extras: Extras,
): Promise<Map<string, Errors>> {
  const errors = new Map(LEVELS.map((level) => [level, { ours: 0, stock: 0 }]));
  for (const draw of range(DRAWS)) {
    const problem = drawProblem(`${size.name}/${pageType}/${draw}`, size, pageType, extras);
    const cellType = pageType === 'i16' ? 'f16' : pageType;
    const keys = store(problem.keys, cellType, problem.kvHeads * problem.headSize);
    const values = store(problem.values, cellType, problem.kvHeads * problem.headSize);
    const exact =
      pageType === 'i16'
        ? runReference(problem, problem.keys, problem.values)
        : runReference(problem, keys.numbers, values.numbers);
    const stock = relativeSquareError(exact, runStock(problem, cellType, keys, values, 1 + (draw % 2)));
    for (const level of LEVELS) {
      const sums = errors.get(level)!;
      sums.ours += relativeSquareError(exact, await runKernel(problem, level, 1 + (draw % 3)));
      sums.stock += stock;
    }
  }
  return errors;
}

function relativeSquareError(exact: Float64Array, output: Float32Array): number {
  const square = exact.reduce((sum, x) => sum + x ** 2, 0);
  return exact.reduce((sum, x, i) => sum + (output[i]! - x) ** 2, 0) / square;
}

describe.each<PageType>(['i16', 'f16', 'q8_0'])('with %s pages', (pageType) => {
  describe.each(EXTRAS)('%s', (_, extras) => {
    test.each(SIZES)('is no less exact than in llama.cpp: $name', async (size) => {
      for (const [level, { ours, stock }] of await errorsOf(size, pageType, extras)) {
        expect(Math.sqrt(ours), level).toBeLessThanOrEqual(size.slack * Math.sqrt(stock));
      }
    });
  });
});
