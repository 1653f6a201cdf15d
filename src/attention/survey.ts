import { AttentionError } from './attention-error.js';
import { learnGgmlLayout } from './ggml-layout.js';
import { loadKernelLibrary, type NativeLayerFacts } from './kernel-library.js';

export interface SurveyOptions {
  /** Layers of the model. */
  layers: number;
  /** Path of a library that `buildKernel` made. */
  kernel: string;
  /** Path of libggml-base of the loaded llama.cpp. */
  ggmlBaseLibrary: string;
}

/** What one layer asks of attention. */
export interface LayerFacts {
  /** Attention nodes over this layer's keys and values; 0 if there are none, or they are not kept as pages would. */
  nodes: number;
  kvHeads: number;
  /** Values per key, and per value, of one head. */
  keySize: number;
  valueSize: number;
  /** Bit i: the batch's first, or second, row sees cell i of llama.cpp's cache. 0 if the model computes its own mask. */
  firstRowSees: number;
  secondRowSees: number;
}

/** A look at the graphs that llama.cpp computes for a model, which changes nothing in them. */
export interface AttentionSurvey {
  /** For `llama_context_params.cb_eval` and `cb_eval_user_data` of a context with flash attention and one KV cache. */
  readonly evalCallback: bigint;
  readonly evalCallbackData: bigint;
  /** Forgets earlier graphs: the facts are about the next decode. */
  begin(): void;
  layers(): LayerFacts[];
  /** Whether positions are rotated by factors that llama.cpp picks by the length of its context. */
  longRope(): boolean;
  /** Frees it. The context must be freed before, and nothing else be called afterwards. */
  dispose(): void;
}

/** @throws AttentionError when the kernel does not fit the loaded llama.cpp */
export function openSurvey({ layers, kernel, ggmlBaseLibrary }: SurveyOptions): AttentionSurvey {
  const library = loadKernelLibrary(kernel);
  const survey = library.surveyOpen(layers, learnGgmlLayout(ggmlBaseLibrary, library));
  if (survey === null) throw new AttentionError('no memory to look at the model');

  const layerFacts = (layer: number): LayerFacts => {
    const facts = {} as NativeLayerFacts;
    library.surveyLayer(survey, layer, facts);
    return {
      nodes: facts.nodes,
      kvHeads: facts.kv_heads,
      keySize: facts.key_size,
      valueSize: facts.value_size,
      firstRowSees: facts.first_row_sees,
      secondRowSees: facts.second_row_sees,
    };
  };

  return {
    evalCallback: library.surveyCallback(),
    evalCallbackData: survey,
    begin: () => library.surveyBegin(survey),
    layers: () => Array.from({ length: layers }, (_, layer) => layerFacts(layer)),
    longRope: () => library.surveyLongRope(survey) !== 0,
    dispose: () => library.surveyClose(survey),
  };
}
