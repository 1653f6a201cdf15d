import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PageShape } from '../../src/attention/index.js';
import { resolveModel } from '../../src/serving/models/index.js';
import { engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { openPagedModel, type PagedModel } from '../support/paged-model.js';
import { type ArchitectureName, architecturePath } from '../support/random-architectures.js';
import { openEngine, runToEnd } from '../support/run-engine.js';

/** Longer than the windows, and more than a block of the kernel. */
const PROMPT_TOKENS = 300;

const windows = (...layers: (0 | 1)[]) => ({ slidingWindow: { size: 37, layers: layers.map(Boolean) } });

const SERVED: [ArchitectureName, Omit<PageShape, 'type'>][] = [
  ['llama 3', { layers: 2, kvHeads: 2, headSize: 32 }],
  ['mistral', { layers: 2, kvHeads: 2, headSize: 32 }],
  ['mistral 3', { layers: 2, kvHeads: 2, headSize: 32 }],
  ['qwen 2', { layers: 2, kvHeads: 2, headSize: 32 }],
  ['qwen 3', { layers: 2, kvHeads: 2, headSize: 64 }],
  ['phi 3', { layers: 2, kvHeads: 2, headSize: 32 }],
  ['gemma', { layers: 2, kvHeads: 1, headSize: 256 }],
  ['gemma 2', { layers: 4, kvHeads: 2, headSize: 32, ...windows(1, 0, 1, 0) }],
  ['gemma 3', { layers: 6, kvHeads: 2, headSize: 32, ...windows(1, 1, 1, 1, 1, 0) }],
  ['gpt-oss', { layers: 4, kvHeads: 2, headSize: 32, ...windows(1, 0, 1, 0) }],
  ['command r7b', { layers: 4, kvHeads: 2, headSize: 32, ...windows(1, 1, 1, 0) }],
  ['mpt', { layers: 2, kvHeads: 6, headSize: 32 }],
  ['starcoder 2', { layers: 2, kvHeads: 2, headSize: 32 }],
];

const REFUSED: [ArchitectureName, RegExp][] = [
  ['phi 3 with LongRoPE', /LongRoPE/],
  ['gemma 4', /layer 0 shares its keys and values/],
  ['llama 4', /layer 0 attends neither to all earlier positions nor to the nearest/],
  ['deepseek 2', /layer 0 has no keys and values of its own/],
  ['mamba', /recurrent/],
  ['lfm 2', /recurrent layers/],
];

describe.each(SERVED)('%s through pages', (name, shape) => {
  const path = architecturePath(name);

  describe.each(['i16', 'f16', 'q8_0'] as const)('of type %s', (type) => {
    let opened: PagedModel;
    beforeAll(async () => {
      opened = await openPagedModel(path, { mostTokens: PROMPT_TOKENS, type });
    });
    afterAll(() => opened.dispose());

    test('has one shape, known from its graph', () => {
      expect(opened.shape).toEqual({ ...shape, type });
    });

    test('gives the logits of stock attention', () => {
      const prompts = [70, 110, 150, 200, 250, PROMPT_TOKENS].map((length) => prompt(opened, length));
      expect(errorInNoise(opened, prompts)).toBeLessThanOrEqual(type === 'q8_0' ? 1.25 : 1);
    });

    test('gives the same bits however a prompt is cut, down to single tokens', () => {
      const tokens = prompt(opened, PROMPT_TOKENS);
      const whole = opened.throughPages(tokens, [PROMPT_TOKENS]);
      const ones = (count: number) => new Array<number>(count).fill(1);
      for (const pieces of [
        [256, 44],
        [1, 63, 3, 65, 150, 18],
        [17, ...ones(23), 160, 60, ...ones(40)],
      ]) {
        expectSameBits(opened.throughPages(tokens, pieces), whole);
      }
    });
  });

  test('gives a request the same answer alone and in a crowd', async () => {
    const sizes = { modelPath: path, threads: 1, kvBackend: 'pages', batchInvariant: 'on' } as const;
    const alone = await openEngine({ ...sizes, maxNumBatchedTokens: 512 });
    const crowd = await openEngine({ ...sizes, maxNumBatchedTokens: 64 });
    try {
      const shared = pseudoRandomTokens(80, 1, alone.info.vocabSize);
      const request = (id: number) => {
        const own = pseudoRandomTokens(10 * id, id, alone.info.vocabSize);
        return engineRequest(`${id}`, Int32Array.of(...shared, ...own), { sampling: { maxTokens: 24, logprobs: 2 } });
      };
      const together = runToEnd(crowd, [1, 2, 3, 4].map(request));
      for (const id of [1, 2, 3, 4]) {
        const key = `${id}/0`;
        expect(together.transcripts.get(key)).toEqual(runToEnd(alone, [request(id)]).transcripts.get(key));
      }
    } finally {
      alone.dispose();
      crowd.dispose();
    }
  });
});

describe.each(REFUSED)('%s', (name, reason) => {
  const modelPath = architecturePath(name);

  test('is refused by pages with the reason', async () => {
    await expect(openEngine({ modelPath, threads: 1, kvBackend: 'pages' })).rejects.toMatchObject({
      name: 'UnsupportedModelError',
      message: expect.stringMatching(reason),
      hint: 'use --kv-backend cells',
    });
  });

  test('is served by cells, which say why', async () => {
    const opened = await openEngine({ modelPath, threads: 1 });
    try {
      expect(opened.info).toMatchObject({ kvBackend: 'cells', kvBackendReason: expect.stringMatching(reason) });
      const tokens = pseudoRandomTokens(100, 1, opened.info.vocabSize);
      const { transcripts } = runToEnd(opened, [engineRequest('a', tokens, { sampling: { maxTokens: 8 } })]);
      expect(transcripts.get('a/0')?.tokens).toHaveLength(8);
    } finally {
      opened.dispose();
    }
  });
});

describe('Gemma 3 270M through pages', () => {
  const LENGTH = 600;
  let opened: PagedModel;
  let tokens: Int32Array;
  beforeAll(async () => {
    const { path } = await resolveModel('gemma3-270m');
    opened = await openPagedModel(path, { mostTokens: LENGTH });
    const text = readFileSync(new URL('../../LICENSE', import.meta.url), 'utf8').repeat(4);
    tokens = opened.model.vocab.tokenize(text, { addSpecial: true, parseSpecial: false }).slice(0, LENGTH);
  });
  afterAll(() => opened.dispose());

  test('has a window of 512 positions in five layers of six', () => {
    const layers = Array.from({ length: 18 }, (_, layer) => layer % 6 !== 5);
    const slidingWindow = { size: 512, layers };
    expect(opened.shape).toEqual({ layers: 18, kvHeads: 1, headSize: 256, type: 'i16', slidingWindow });
  });

  // Without the window, its logits were fifteen times the noise away.
  test('gives the logits of stock attention', () => {
    expect(errorInNoise(opened, [tokens])).toBeLessThanOrEqual(3);
  });

  test('gives the same bits however a prompt is cut', () => {
    expectSameBits(opened.throughPages(tokens, [300, 290, 1, 1, 8]), opened.throughPages(tokens, [LENGTH]));
  });
});

function prompt({ model }: PagedModel, length: number): Int32Array {
  return pseudoRandomTokens(length, length, model.vocab.size);
}

function expectSameBits(a: Float32Array, b: Float32Array): void {
  expect(Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer))).toBe(0);
}

/**
 * How far pages are from stock attention over these prompts, in units of how far that is from itself: it rounds otherwise
 * when it computes few tokens at once, and when its cells are of the pages' type. Two ways to round to q8_0 are equally
 * far from f16, but not the same way.
 */
function errorInNoise({ shape, throughPages, throughStock }: PagedModel, prompts: readonly Int32Array[]): number {
  let error = 0;
  let noise = 0;
  for (const tokens of prompts) {
    const stock = throughStock(tokens, [tokens.length]);
    const pieces = Array.from({ length: Math.ceil(tokens.length / 50) }, (_, i) =>
      Math.min(50, tokens.length - 50 * i),
    );
    error += difference(throughPages(tokens, [tokens.length]), stock) ** 2;
    noise += difference(throughStock(tokens, pieces, shape.type === 'i16' ? 'f16' : shape.type), stock) ** 2;
  }
  return Math.sqrt(error / noise);
}

/** Root mean square of a - b, in units of b's. */
function difference(a: Float32Array, b: Float32Array): number {
  let errors = 0;
  let total = 0;
  for (const [i, value] of b.entries()) {
    errors += (a[i]! - value) ** 2;
    total += value ** 2;
  }
  return Math.sqrt(errors / total);
}
