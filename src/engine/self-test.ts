import { LlamaBatch, type LlamaContext } from '../llama/index.js';
import type { CellsExecutor } from './cells-executor.js';
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

/** The KV backend computes something else than llama.cpp does by itself for this model. */
export class SelfTestError extends Error {
  override readonly name = 'SelfTestError';
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = `${hint}; please report it with the output of \`quire doctor\``;
  }
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
  const tokens = selfTestTokens(vocabSize);
  const whole = throughPages(executor, tokens, blocks, [SELF_TEST_TOKENS]);
  const reference = computeAlone(stock, tokens, [SELF_TEST_TOKENS]);
  const distance = totalVariation(whole, reference);
  const stockNoise = totalVariation(reference, computeAlone(stock, tokens, [64, 3, 5]));
  // Written so that NaN fails.
  if (!(distance <= Math.max(ROUNDING, 4 * stockNoise))) {
    throw new SelfTestError(
      `paged attention does not reproduce llama.cpp's: distributions differ by ${distance.toPrecision(3)} ` +
        `(its own noise is ${stockNoise.toPrecision(3)})`,
      'use --kv-backend cells',
    );
  }
  const exact = ENDINGS.every((ending) => sameBits(throughPages(executor, tokens, blocks, ending), whole));
  return { distance, stockNoise, exact };
}

/** Tokens that the cells' test shares: whole blocks of them, or a whole sequence up to its last token. */
const SHARED_TOKENS = 48;

/**
 * Runs one prompt through llama.cpp's cells as the engine does: begun by one sequence, gone on with by two in one batch
 * that share its beginning. Both must agree with the prompt computed alone, within llama.cpp's own noise: its attention
 * rounds differently for other chunks and for cells that lie elsewhere.
 *
 * @param open makes an executor for blocks of this size
 * @param alone a context for at least SELF_TEST_TOKENS tokens in a batch, as the executor's
 * @throws SelfTestError when they disagree, or have no finite logits
 */
export function selfTestCells(
  open: (blockSize: number) => CellsExecutor,
  alone: LlamaContext,
  { wholeOnly, vocabSize }: { wholeOnly: boolean; vocabSize: number },
): void {
  const executor = open(16);
  const tokens = selfTestTokens(vocabSize);
  const start = wholeOnly ? SELF_TEST_TOKENS - 1 : SHARED_TOKENS;
  const count = SELF_TEST_TOKENS - start;
  const first = [0, 1, 2, 3, 4];
  // What `first` has begun to fill is copied before two of them write to it.
  const second = first.map((block) => ((block + 1) * 16 <= start ? block : block + first.length));
  const copies = start % 16 === 0 ? [] : [{ source: first[4], target: second[4] }];
  executor.run([{ tokens, start: 0, count: start, blocks: first, wantsLogits: false }]);
  executor.run(
    [first, second].map((blocks) => ({ tokens, start, count, blocks, wantsLogits: true })),
    copies,
  );
  const reference = computeAlone(alone, tokens, [SELF_TEST_TOKENS]);
  const noise = totalVariation(reference, computeAlone(alone, tokens, [start, count]));
  for (const sequence of [0, 1]) {
    const distance = totalVariation(executor.logits(sequence), reference);
    // Written so that NaN fails.
    if (!(distance <= Math.max(ROUNDING, 4 * noise))) {
      throw new SelfTestError(
        `a sequence that shares KV cells differs from one alone by ${distance.toPrecision(3)} ` +
          `(llama.cpp's own noise is ${noise.toPrecision(3)})`,
        'llama.cpp cannot share the KV cache of this model',
      );
    }
  }
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

/** A prompt of SELF_TEST_TOKENS tokens. */
export function selfTestTokens(vocabSize: number): Int32Array {
  return Int32Array.from({ length: SELF_TEST_TOKENS }, (_, i) => (i * 7919 + 13) % vocabSize);
}

/** Computes the beginning of a prompt as sequence 0 of an empty context, in pieces. Returns the logits after it. */
export function computeAlone(context: LlamaContext, tokens: Int32Array, chunking: number[]): Float32Array {
  context.clearMemory();
  const batch = new LlamaBatch(tokens.length);
  let start = 0;
  for (const count of chunking) {
    for (let i = 0; i < count; i++) {
      batch.tokens[i] = tokens[start + i];
      batch.positions[i] = start + i;
      batch.sequenceIds[i] = 0;
      batch.wantsLogits[i] = i === count - 1 ? 1 : 0;
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
