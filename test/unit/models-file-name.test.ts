import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { servedName, splitParts, weightTypeOf } from '../../src/serving/models/file-name.js';

describe('splitParts', () => {
  it('is the same for every part, and has them all in order', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(), (count, pick) => {
        const name = (i: number) => `a/b-${String(i + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.gguf`;
        const all = Array.from({ length: count }, (_, i) => name(i));
        expect(splitParts(name(pick % count))).toEqual(all);
      }),
    );
  });

  it('leaves other names alone', () => {
    for (const name of ['model.gguf', 'model-1-of-2.gguf', 'model-00001-of-00000.gguf', '']) {
      expect(splitParts(name)).toEqual([name]);
    }
  });
});

describe('servedName and weightTypeOf', () => {
  it.each([
    ['SmolLM2-135M-Instruct.Q4_1.gguf', 'SmolLM2-135M-Instruct', 'Q4_1'],
    ['qwen2.5-0.5b-instruct-q4_k_m.gguf', 'qwen2.5-0.5b-instruct', 'Q4_K_M'],
    ['Model-IQ2_XXS-00001-of-00002.gguf', 'Model', 'IQ2_XXS'],
    ['Model.BF16.gguf', 'Model', 'BF16'],
    ['gpt-oss-20b-MXFP4.gguf', 'gpt-oss-20b', 'MXFP4'],
    ['plain.gguf', 'plain', undefined],
    ['Qwen3-0.6B.gguf', 'Qwen3-0.6B', undefined],
  ])('%s is %s in %s', (file, name, type) => {
    expect(servedName(file)).toBe(name);
    expect(weightTypeOf(file)).toBe(type);
  });
});
