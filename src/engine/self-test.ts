import { LlamaBatch, type LlamaContext } from '../llama/index.js';
import type { Executor } from './executor.js';

/** Tokens of the test: more than one softmax block of the kernel, and enough rows for every matmul path. */
export const SELF_TEST_TOKENS = 72;

/** The prompt's end is computed again in other pieces: alone, in small and odd batches, and in a larger one. */
const ENDINGS = [[1], [1, 1, 1, 1, 1, 1, 1, 1], [3, 5], [33]];

export interface SelfTestResult {
  /** Total variation distance (0 … 1) of pages to stock attention, and of stock to itself differently cut. */
  distance: number;
  stockNoise: number;
  /** Whether the logits had the same bits however the prompt was cut. */
  exact: boolean;
}

/** The pages compute something else than llama.cpp does for this model. */
export class SelfTestError extends Error {
  override readonly name = 'SelfTestError';
  readonly hint =
    'KV pages cannot serve this model on this machine: please report it with the output of `quire doctor`';
}

/** Distances up to this are rounding, whatever stock's own noise happened to be. */
const ROUNDING = 0.02;

/**
 * Runs one prompt through pages and through llama.cpp's own attention: the next token's distribution must agree within
 * stock's own noise (its attention rounds differently for different chunks). And runs it through pages cut in different
 * ways: the logits must have the same bits, or answers would depend on who else is served.
 *
 * @param stock a context without pages, for at least SELF_TEST_TOKENS tokens in a batch, as the executor's
 * @param blocks unused blocks for SELF_TEST_TOKENS tokens
 * @throws SelfTestError when pages and stock disagree
 */
export function selfTest(
  executor: Executor,
  stock: LlamaContext,
  blocks: readonly number[],
  vocabSize: number,
): SelfTestResult {
  const tokens = Int32Array.from({ length: SELF_TEST_TOKENS }, (_, i) => (i * 7919 + 13) % vocabSize);
  const whole = throughPages(executor, tokens, blocks, [SELF_TEST_TOKENS]);
  const reference = throughStock(stock, tokens, [SELF_TEST_TOKENS]);
  const distance = totalVariation(whole, reference);
  const stockNoise = totalVariation(reference, throughStock(stock, tokens, [64, 3, 5]));
  // Written so that NaN fails.
  if (!(distance <= Math.max(ROUNDING, 4 * stockNoise))) {
    throw new SelfTestError(
      `paged attention does not reproduce llama.cpp's: distributions differ by ${distance.toPrecision(3)} ` +
        `(its own noise is ${stockNoise.toPrecision(3)})`,
    );
  }
  const exact = ENDINGS.every((ending) => sameBits(throughPages(executor, tokens, blocks, ending), whole));
  return { distance, stockNoise, exact };
}

/** Computes the prompt's end in these pieces. Returns the logits after it. */
function throughPages(executor: Executor, tokens: Int32Array, blocks: readonly number[], chunking: number[]) {
  let start = tokens.length - chunking.reduce((sum, count) => sum + count);
  for (const count of chunking) {
    executor.run([{ tokens, start, count, blocks, wantsLogits: start + count === tokens.length }]);
    start += count;
  }
  return executor.logits(0).slice();
}

function throughStock(context: LlamaContext, tokens: Int32Array, chunking: number[]): Float32Array {
  context.clearMemory();
  const batch = new LlamaBatch(tokens.length);
  let start = 0;
  for (const count of chunking) {
    for (let i = 0; i < count; i++) {
      batch.tokens[i] = tokens[start + i];
      batch.positions[i] = start + i;
      batch.sequenceIds[i] = 0;
      batch.wantsLogits[i] = start + i === tokens.length - 1 ? 1 : 0;
    }
    batch.length = count;
    context.decode(batch);
    start += count;
  }
  return context.logits(batch.length - 1).slice();
}

/** Half the sum of |p − q| over the two softmax distributions: 0 … 1. */
function totalVariation(a: Float32Array, b: Float32Array): number {
  const p = softmax(a);
  const q = softmax(b);
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += Math.abs(p[i] - q[i]);
  return sum / 2;
}

function softmax(logits: Float32Array): Float64Array {
  const highest = logits.reduce((a, b) => Math.max(a, b));
  const weights = Float64Array.from(logits, (logit) => Math.exp(logit - highest));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  return Buffer.compare(bytes(a), bytes(b)) === 0;
}

function bytes(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
