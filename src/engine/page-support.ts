import type { PageShape } from '../attention/index.js';
import { supportsHeadSize } from '../attention/index.js';
import type { LlamaModel } from '../llama/index.js';

/** The model computes attention in a way that our pages cannot, or not yet. */
export class UnsupportedModelError extends Error {
  override readonly name = 'UnsupportedModelError';
  readonly hint = 'choose a decoder-only model with full causal attention, such as Llama, Qwen 2.5/3 or SmolLM2';
}

/**
 * Shape of the KV pages for a model.
 * @throws UnsupportedModelError naming what the model has that pages cannot serve
 */
export function pageShapeFor(model: LlamaModel): PageShape {
  const metadata = model.metadata();
  const architecture = metadata.get('general.architecture') ?? 'unknown';
  const get = (key: string): string | undefined => metadata.get(`${architecture}.${key}`);
  const number = (key: string): number => Number(get(key) ?? 0);
  const refuse = (what: string): never => {
    throw new UnsupportedModelError(`KV pages cannot serve ${what} (architecture ${architecture}) yet`);
  };

  if (model.hasEncoder || !model.hasDecoder) refuse('a model with an encoder');
  if (model.isRecurrent) refuse('a recurrent model');
  if (model.isHybrid) refuse('a model with recurrent layers');
  if (get('attention.causal') === 'false') refuse('attention that is not causal');
  if (get('attention.key_length_mla') !== undefined) refuse('multi-head latent attention');
  if (model.slidingWindow > 0) refuse('sliding-window attention');
  if (number('attn_logit_softcapping') !== 0) refuse('soft-capped attention logits');
  if (number('attention.max_alibi_bias') !== 0) refuse('ALiBi');
  if (get('rope.scaling.type') === 'longrope') refuse('LongRoPE');
  if (!['none', 'norm', 'neox'].includes(model.ropeType)) refuse(`positions of type ${model.ropeType}`);
  if (/[[,]/.test(get('attention.head_count_kv') ?? '')) refuse('layers with different numbers of KV heads');

  const headSize = number('attention.key_length') || model.embeddingSize / model.heads;
  const valueSize = number('attention.value_length') || headSize;
  if (headSize !== valueSize) refuse(`keys of ${headSize} and values of ${valueSize} dimensions`);
  if (!supportsHeadSize(headSize)) refuse(`attention heads of ${headSize} dimensions`);
  return { layers: model.layers, kvHeads: model.kvHeads, headSize };
}
