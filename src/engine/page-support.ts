import { type PageShape, type PageType, supportsHeadSize } from '../attention/index.js';
import type { LlamaModel } from '../llama/index.js';
import { type LayerView, type ModelSurveyOptions, surveyModel } from './model-survey.js';

/** The model computes attention in a way that our pages cannot. */
export class UnsupportedModelError extends Error {
  override readonly name = 'UnsupportedModelError';
  readonly hint = 'use --kv-backend cells';
}

/**
 * Shape of the KV pages for a model, from what its layers do rather than from what it is called.
 * @param type how pages store keys and values
 * @throws UnsupportedModelError saying what the model does that pages cannot serve; AttentionError, LlamaError as
 *   {@link surveyModel}
 */
export function pageShapeFor(model: LlamaModel, type: PageType, options: ModelSurveyOptions): PageShape {
  if (model.hasEncoder || !model.hasDecoder) throw new UnsupportedModelError('the model has an encoder');
  if (model.isRecurrent) throw new UnsupportedModelError('the model is recurrent');
  if (model.isHybrid) throw new UnsupportedModelError('the model has recurrent layers');
  if (!['none', 'norm', 'neox'].includes(model.ropeType)) {
    throw new UnsupportedModelError(`its positions are of type ${model.ropeType}`);
  }
  const { layers, longRope } = surveyModel(model, options);
  if (longRope) throw new UnsupportedModelError('LongRoPE rotates by factors that depend on the length of the context');
  return commonShape(layers, model.slidingWindow, type);
}

/**
 * The one shape that the pages of all layers have.
 * @param window size of the model's sliding window, wherever it holds
 * @throws UnsupportedModelError saying what pages cannot serve
 */
export function commonShape(layers: readonly LayerView[], window: number, type: PageType): PageShape {
  const { kvHeads, keySize: headSize } = layers[0];
  for (const [index, layer] of layers.entries()) {
    const refusal = refusalOf(layer);
    if (refusal !== undefined) throw new UnsupportedModelError(`layer ${index} ${refusal}`);
    if (layer.kvHeads !== kvHeads || layer.keySize !== headSize) {
      throw new UnsupportedModelError(
        `layer ${index} has ${layer.kvHeads} KV heads of ${layer.keySize} dimensions, layer 0 ${kvHeads} of ${headSize}`,
      );
    }
  }
  if (!supportsHeadSize(headSize, type)) {
    throw new UnsupportedModelError(`attention heads of ${headSize} dimensions do not fit pages of type ${type}`);
  }
  const shape = { layers: layers.length, kvHeads, headSize, type };
  const windowed = layers.map(({ view }) => view === 'sliding-window');
  return windowed.includes(true) ? { ...shape, slidingWindow: { size: window, layers: windowed } } : shape;
}

function refusalOf({ nodes, view, keySize, valueSize }: LayerView): string | undefined {
  if (nodes === 0) return 'has no keys and values of its own, as with latent or shared attention';
  if (nodes > 1) return 'shares its keys and values with other layers';
  if (view === 'other') return 'attends neither to all earlier positions nor to the nearest ones';
  if (keySize !== valueSize) return `has keys of ${keySize} and values of ${valueSize} dimensions`;
  return undefined;
}
