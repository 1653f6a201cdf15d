import { describe, expect, it } from 'vitest';
import { createPooler, defaultPooling } from '../../src/engine/pooling.js';

const model = (metadata: Record<string, string>) => ({ metadata: () => new Map(Object.entries(metadata)) });

describe('the pooling of a model', () => {
  it.each([
    ['1', 'mean'],
    ['3', 'last'],
    // None, the first token's, which has seen nothing yet, and a ranking.
    ['0', 'last'],
    ['2', 'last'],
    ['4', 'last'],
  ])('of type %s is %s', (type, pooling) => {
    expect(defaultPooling(model({ 'general.architecture': 'qwen3', 'qwen3.pooling_type': type }))).toBe(pooling);
  });

  it('is the last state where the file names none', () => {
    expect(defaultPooling(model({ 'general.architecture': 'llama' }))).toBe('last');
  });
});

describe('a pooler', () => {
  const state = (position: number) => Float32Array.of(position, -2 * position, 0.1);

  it('takes the mean, of each position once, also when the prompt is computed anew', () => {
    const pooler = createPooler('mean', 4);
    for (const position of [0, 1, 0, 1, 2, 3]) pooler.take(position, state(position));
    expect(pooler.vector()).toEqual(Float32Array.of(1.5, -3, 0.1));
    expect(pooler.reads(4)).toBe(false);
  });

  it('takes the last state, and reads only what ends with it', () => {
    const pooler = createPooler('last', 3);
    expect([1, 2, 3].map((end) => pooler.reads(end))).toEqual([false, false, true]);
    const row = state(2);
    pooler.take(1, state(1));
    pooler.take(2, row);
    // The row was a view.
    row.fill(9);
    expect(pooler.vector()).toEqual(state(2));
  });
});
