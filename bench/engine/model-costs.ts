import { PAGE_TOKENS, pageBytes } from '../../src/attention/index.js';
import { inspectGguf } from '../../src/serving/models/index.js';
import { attentionPeak } from '../kernel/measure.js';
import { type Peaks, productPeak } from './peaks.js';
import type { Rig } from './rig.js';

/** What a model of llama's architecture has to compute and to read, from the shapes of its matrices. */
export interface ModelCosts {
  /** Multiply-accumulates of a row with the weights of all layers; the last feed-forward is for outputs only. */
  perRow: number;
  /** And of a row whose logits are wanted, besides. */
  perOutput: number;
  /** Multiply-accumulates of a row with each position that it attends to, over all layers and heads. */
  perAttended: number;
  /** Bytes of keys and values of a token. */
  tokenBytes: number;
  /** Bytes of all weights. */
  weightBytes: number;
}

export async function modelCosts({ model, pageShape }: Rig): Promise<ModelCosts> {
  const { tensors } = await inspectGguf(model.path);
  const sizeOf = (matches: (name: string) => boolean) =>
    tensors
      .filter(({ name, shape }) => shape.length === 2 && matches(name))
      .reduce((sum, { shape }) => sum + shape[0]! * shape[1]!, 0);
  const isLast = (name: string) => name.startsWith(`blk.${model.layers - 1}.ffn_`);
  const output = tensors.some(({ name }) => name === 'output.weight') ? 'output.weight' : 'token_embd.weight';
  return {
    perRow: sizeOf((name) => name.startsWith('blk.') && !isLast(name)),
    perOutput: sizeOf((name) => isLast(name) || name === output),
    perAttended: 2 * model.layers * model.heads * pageShape.headSize,
    tokenBytes: pageBytes(pageShape) / PAGE_TOKENS,
    weightBytes: model.weightBytes,
  };
}

/** What one or more steps compute. */
export interface Work {
  steps: number;
  rows: number;
  outputs: number;
  /** Positions attended to, summed over the rows. */
  attended: number;
  /** Tokens whose keys and values have to be read; those that rows share once. */
  kvTokens: number;
}

/**
 * The least time that the work takes on this machine, in ms: matrix products at its peak for 8-bit integers and
 * attention at that for 16-bit ones, or reading weights, keys and values from memory, whichever is longer (the
 * roofline model, Williams et al. 2009).
 */
export function leastMs(work: Work, costs: ModelCosts, peaks: Peaks): number {
  const products = work.rows * costs.perRow + work.outputs * costs.perOutput;
  const { gmacs } = productPeak(peaks);
  const computing = products / gmacs + (work.attended * costs.perAttended) / attentionPeak('i16', peaks);
  const reading = (work.steps * costs.weightBytes + work.kvTokens * costs.tokenBytes) / peaks.read_gbs;
  return Math.max(computing, reading) / 1e6;
}
