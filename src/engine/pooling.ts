import type { LlamaModel } from '../llama/index.js';
import type { Pooling } from './protocol.js';
import type { PromptReader } from './row-batches.js';

/** Makes one vector of the hidden states of a prompt. */
export interface Pooler extends PromptReader {
  readonly kind: 'states';
  /** Once it has read all that it has to. */
  vector(): Float32Array;
}

/** `enum llama_pooling_type`, as files of embedding models name it. */
const POOLING_TYPES = new Map<string | undefined, Pooling>([
  ['1', 'mean'],
  ['3', 'last'],
]);

/**
 * What the model was trained for. The last token's state otherwise: in a model with causal attention, it alone has seen
 * the whole text.
 */
export function defaultPooling({ metadata }: Pick<LlamaModel, 'metadata'>): Pooling {
  const entries = metadata();
  return POOLING_TYPES.get(entries.get(`${entries.get('general.architecture')}.pooling_type`)) ?? 'last';
}

/** @param length of the prompt, in tokens */
export function createPooler(pooling: Pooling, length: number): Pooler {
  return pooling === 'mean' ? poolMean(length) : poolLast(length);
}

/** Sums in the order of positions and in double precision: the same bits however the prompt was cut. */
function poolMean(length: number): Pooler {
  let sums = new Float64Array();
  let next = 0;
  return {
    kind: 'states',
    reads: (end) => end > next,
    take(position, state) {
      if (position !== next) return;
      if (next === 0) sums = new Float64Array(state.length);
      next++;
      for (let i = 0; i < state.length; i++) sums[i] += state[i];
    },
    vector: () => Float32Array.from(sums, (sum) => sum / length),
  };
}

function poolLast(length: number): Pooler {
  let last = new Float32Array();
  return {
    kind: 'states',
    reads: (end) => end === length,
    take(position, state) {
      if (position === length - 1) last = state.slice();
    },
    vector: () => last,
  };
}
