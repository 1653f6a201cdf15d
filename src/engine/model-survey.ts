import { type AttentionSurvey, type LayerFacts, openSurvey } from '../attention/index.js';
import { LlamaBatch, type LlamaContext, type LlamaModel } from '../llama/index.js';

/** What can be told of a model's attention by looking at the graphs that llama.cpp computes for it. */
export interface ModelSurvey {
  layers: LayerView[];
  /** Positions are rotated by factors that llama.cpp picks by the length of its context. */
  longRope: boolean;
}

export interface LayerView extends LayerFacts {
  /** Which positions a row attends to: all up to its own, those of them in the sliding window, or others. */
  view: 'causal' | 'sliding-window' | 'other';
}

export interface ModelSurveyOptions {
  /** Path of a library that `buildKernel` made. */
  kernel: string;
  /** Path of libggml-base of the loaded llama.cpp. */
  ggmlBaseLibrary: string;
}

/**
 * Has llama.cpp compute five tokens of a model in a context of 256 cells, and looks on. Costs as much as two steps of
 * decoding.
 *
 * @throws AttentionError when the kernel does not fit the loaded llama.cpp
 * @throws LlamaError when llama.cpp cannot compute the model
 */
export function surveyModel(model: LlamaModel, options: ModelSurveyOptions): ModelSurvey {
  const survey = openSurvey({ layers: model.layers, ...options });
  let context: LlamaContext | undefined;
  try {
    const { evalCallback, evalCallbackData } = survey;
    // One thread: starting others and waiting for them takes longer than five tokens do.
    const sizes = { batchSize: FIRST_BATCH, contextLength: 256, maxSequences: 2, maxOutputs: 1, threads: 1 };
    context = model.createContext({ ...sizes, evalCallback, evalCallbackData });
    probe(context, survey, model.slidingWindow || REACH_WITHOUT_WINDOW);
    const layers = survey.layers().map((facts) => ({ ...facts, view: viewOf(facts, model.slidingWindow > 0) }));
    return { layers, longRope: survey.longRope() };
  } finally {
    context?.dispose();
    survey.dispose();
  }
}

const FIRST_BATCH = 3;
const REACH_WITHOUT_WINDOW = 4;

/**
 * Leaves the survey with a graph of two rows, q and q + 1, that have five cells to look at: positions q - window,
 * q - window + 1, q - 1, q, q + 1. q is a multiple of the window: where layers attend within chunks of its size, a chunk
 * begins at q.
 */
function probe(context: LlamaContext, survey: AttentionSurvey, window: number): void {
  const q = 2 * window;
  // llama.cpp wants a sequence's positions to be consecutive: one with a gap is made of two.
  decode(context, [0, 0, 1], [q - window, q - window + 1, q - 1]);
  context.memory.seqCopy(0, 1, 0, -1);
  survey.begin();
  decode(context, [1, 1], [q, q + 1]);
}

/** One bit for each of the probe's cells, the first one lowest. */
function viewOf({ firstRowSees, secondRowSees }: LayerFacts, windowed: boolean): LayerView['view'] {
  if (firstRowSees === 0b01111 && secondRowSees === 0b11111) return 'causal';
  return windowed && firstRowSees === 0b01110 && secondRowSees === 0b11100 ? 'sliding-window' : 'other';
}

function decode(context: LlamaContext, sequences: readonly number[], positions: readonly number[]): void {
  const batch = new LlamaBatch(positions.length);
  batch.sequenceIds.set(sequences);
  batch.positions.set(positions);
  batch.length = positions.length;
  context.decode(batch);
}
