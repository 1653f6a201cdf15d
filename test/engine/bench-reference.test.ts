import { afterAll, describe, expect, test } from 'vitest';
import { openReference } from '../../bench/quality/reference.js';
import { type FileType, LlamaBatch, loadLlama } from '../../src/llama/index.js';
import { pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';

const TOKENS = 40;
const threadPool = loadLlama().createThreadPool(1);
afterAll(() => threadPool.dispose());

/** The largest divergence of llama.cpp's own answer from the reference's, over a text of random tokens. */
async function worstDivergence(type: FileType, threads: number): Promise<number> {
  // Rows of 192 values: llama.cpp's quantizer gives output matrices of multiples of 256 another type.
  const path = await randomModelPath({ type, heads: 3, kvHeads: 1 });
  const reference = await openReference(path, threads);
  const model = loadLlama().loadModel(path);
  try {
    const tokens = pseudoRandomTokens(TOKENS, 1, reference.vocabSize);
    const expected = await reference.logProbabilities(await reference.hiddenStates(tokens));

    const context = model.createContext({ batchSize: 64, maxSequences: 1, maxOutputs: 64, threads: 1, threadPool });
    const batch = new LlamaBatch(TOKENS);
    batch.tokens.set(tokens);
    batch.positions.set(tokens.map((_, i) => i));
    batch.wantsLogits.fill(1);
    batch.length = TOKENS;
    context.decode(batch);
    const { vocabSize } = reference;
    const divergences = Array.from({ length: TOKENS }, (_, row) => {
      const logProbabilities = expected.subarray(row * vocabSize, (row + 1) * vocabSize);
      return reference.compare(logProbabilities, context.logits(row), 0).kl;
    });
    return divergences.reduce((a, b) => Math.max(a, b));
  } finally {
    model.dispose();
    reference.dispose();
  }
}

describe('the double-precision reference', () => {
  // llama.cpp keeps keys and values as halves and, but for F32 weights, rounds the other operand to 8 or 16 bits.
  test.each([
    ['F32', 3e-5],
    ['F16', 3e-5],
    ['Q8_0', 5e-3],
    ['Q4_0', 5e-3],
    ['Q4_1', 5e-3],
  ] as const)('agrees with llama.cpp on a model of type %s but for its rounding', async (type, rounding) => {
    const divergence = await worstDivergence(type, 1);
    expect(divergence).toBeGreaterThan(0);
    expect(divergence).toBeLessThan(rounding);
  });

  test('has the same bits with any number of threads', async () => {
    const path = await randomModelPath({ type: 'Q8_0' });
    const tokens = pseudoRandomTokens(TOKENS, 2, 512);
    const answers = await Promise.all(
      [1, 3].map(async (threads) => {
        const reference = await openReference(path, threads);
        const answer = await reference.logProbabilities(await reference.hiddenStates(tokens));
        reference.dispose();
        return answer;
      }),
    );
    expect(answers[1]).toEqual(answers[0]);
  });

  test('finds no divergence between a distribution and itself', async () => {
    const reference = await openReference(await randomModelPath({ type: 'F32' }), 1);
    const tokens = pseudoRandomTokens(1, 3, reference.vocabSize);
    const logProbabilities = await reference.logProbabilities(await reference.hiddenStates(tokens));
    const best = logProbabilities.indexOf(logProbabilities.reduce((a, b) => Math.max(a, b)));
    const same = reference.compare(logProbabilities, Float32Array.from(logProbabilities), best);
    expect(Math.abs(same.kl)).toBeLessThan(1e-6);
    expect(same.negativeLogLikelihood).toBeCloseTo(-logProbabilities[best]!, 5);
    expect(same.sameArgMax).toBe(true);
    const other = reference.compare(
      logProbabilities,
      Float32Array.from(logProbabilities, (x) => -x),
      best,
    );
    expect(other.kl).toBeGreaterThan(0.1);
    expect(other.sameArgMax).toBe(false);
    reference.dispose();
  });
});
