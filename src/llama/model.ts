import koffi from 'koffi';
import { type Bindings, type Pointer, withProgressCallback } from './bindings.js';
import { type ContextOptions, createContext, type LlamaContext } from './context.js';
import { fileTypeName } from './file-types.js';
import { LlamaError } from './llama-error.js';
import type { NativeLog } from './native-log.js';
import { type LlamaVocab, openVocab } from './vocab.js';

export interface LoadModelOptions {
  /** Load the vocabulary and metadata alone: milliseconds, no weights. Sizes of the network are then 0. */
  vocabOnly?: boolean;
  /** Where weights are: in the file's mapping, or read into memory; default `auto`, a mapping where devices allow. */
  loadMode?: LoadMode;
  /** Layers that the GPU computes; default all on a GPU device, none on the CPU. */
  gpuLayers?: number;
  /** Called on each whole percent, with a fraction from 0 to 1. An exception from it cancels the load. */
  onProgress?: (fraction: number) => void;
}

export type LoadMode = 'auto' | 'none' | 'mmap';

/** `enum llama_load_mode`. */
const LOAD_MODES: Record<LoadMode, number> = { auto: -1, none: 0, mmap: 1 };

export type RopeType = 'none' | 'norm' | 'neox' | 'mrope' | 'imrope' | 'vision';

export interface LlamaModel {
  readonly path: string;
  readonly vocab: LlamaVocab;
  /** llama.cpp's own words, e.g. `llama 135M Q4_0`. */
  readonly description: string;
  readonly layers: number;
  /** Width of the residual stream. */
  readonly embeddingSize: number;
  /** Width of the states that {@link LlamaContext.embedding} gives; nearly always the same. */
  readonly embeddingOutputSize: number;
  /** Query heads of the first layer, and the KV heads that they share. */
  readonly heads: number;
  readonly kvHeads: number;
  /** Longest context that the model was trained on, in tokens. */
  readonly trainContextLength: number;
  /** Tokens that windowed layers look back; 0 where all layers look at everything. */
  readonly slidingWindow: number;
  readonly ropeType: RopeType;
  readonly parameters: number;
  readonly weightBytes: number;
  /** `enum llama_ftype`. */
  readonly ftype: number;
  /** E.g. `Q4_K_M`. */
  readonly ftypeName: string;
  readonly isRecurrent: boolean;
  readonly isHybrid: boolean;
  readonly hasEncoder: boolean;
  readonly hasDecoder: boolean;
  /** The file's metadata in text form, arrays abridged by llama.cpp. */
  metadata(): Map<string, string>;
  /** The Jinja chat template of this name, or the default one; undefined if there is none. */
  chatTemplate(name?: string): string | undefined;
  /** @throws LlamaError if llama.cpp cannot, RangeError for impossible sizes. */
  createContext(options: ContextOptions): LlamaContext;
  /** Frees the model and its contexts. Idempotent. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** `enum llama_rope_type` (llama.h) and `GGML_ROPE_TYPE_*` (ggml.h). */
const ROPE_TYPES = new Map<number, RopeType>([
  [-1, 'none'],
  [0, 'norm'],
  [2, 'neox'],
  [8, 'mrope'],
  [24, 'vision'],
  [40, 'imrope'],
]);

export interface ModelOwner {
  bindings: Bindings;
  log: NativeLog;
  /** Whether a GPU is to compute, unless the options say otherwise. */
  gpu: boolean;
}

/** @throws LlamaError with llama.cpp's reason if the file cannot be loaded. */
export function openModel({ bindings, log, gpu }: ModelOwner, path: string, options: LoadModelOptions): LlamaModel {
  const vocabOnly = options.vocabOnly ?? false;
  const gpuLayers = options.gpuLayers ?? (gpu ? -1 : 0);
  const offloaded = gpuLayers !== 0;
  // An empty list, ended by a null pointer: no device but the CPU, even where others are present.
  const noDevices = new BigUint64Array(new ArrayBuffer(8));

  log.beginCall();
  let pointer = withProgressCallback(wholePercents(options.onProgress), (progress) =>
    bindings.llama_model_load_from_file(path, {
      ...bindings.llama_model_default_params(),
      devices: offloaded ? null : koffi.address(noDevices),
      n_gpu_layers: gpuLayers,
      load_mode: LOAD_MODES[options.loadMode ?? 'auto'],
      progress_callback: progress,
      vocab_only: vocabOnly,
    }),
  );
  if (pointer === null) {
    throw new LlamaError(
      `cannot load ${path}: ${log.reason() || 'no reason given'}`,
      'The file may be damaged or incomplete, need a newer llama.cpp, or need more memory than there is.',
    );
  }

  const live = (): Pointer => {
    if (pointer === null) throw new LlamaError('the model has been disposed');
    return pointer;
  };
  const vocabPointer = bindings.llama_model_get_vocab(pointer);
  const vocab = openVocab(bindings, () => {
    live();
    return vocabPointer;
  });
  const contexts = new Set<LlamaContext>();
  /** llama.cpp ends the process when asked for sizes of a network that it has not read. */
  const sizeOf = (read: (model: Pointer) => number | bigint): number => (vocabOnly ? 0 : Number(read(live())));
  const ftype = bindings.llama_model_ftype(pointer);

  const dispose = (): void => {
    if (pointer === null) return;
    for (const context of contexts) context.dispose();
    bindings.llama_model_free(pointer);
    pointer = null;
  };

  return {
    path,
    vocab,
    description: readText((text, size) => bindings.llama_model_desc(live(), text, size)),
    layers: sizeOf(bindings.llama_model_n_layer),
    embeddingSize: sizeOf(bindings.llama_model_n_embd),
    embeddingOutputSize: sizeOf(bindings.llama_model_n_embd_out),
    heads: sizeOf(bindings.llama_model_n_head),
    kvHeads: sizeOf(bindings.llama_model_n_head_kv),
    trainContextLength: sizeOf(bindings.llama_model_n_ctx_train),
    slidingWindow: sizeOf(bindings.llama_model_n_swa),
    ropeType: vocabOnly ? 'none' : (ROPE_TYPES.get(bindings.llama_model_rope_type(pointer)) ?? 'none'),
    parameters: Number(bindings.llama_model_n_params(pointer)),
    weightBytes: Number(bindings.llama_model_size(pointer)),
    ftype,
    ftypeName: fileTypeName(ftype),
    isRecurrent: bindings.llama_model_is_recurrent(pointer),
    isHybrid: bindings.llama_model_is_hybrid(pointer),
    hasEncoder: bindings.llama_model_has_encoder(pointer),
    hasDecoder: bindings.llama_model_has_decoder(pointer),

    metadata() {
      const entries = new Map<string, string>();
      const count = bindings.llama_model_meta_count(live());
      for (let i = 0; i < count; i++) {
        const key = readText((text, size) => bindings.llama_model_meta_key_by_index(live(), i, text, size));
        const value = readText((text, size) => bindings.llama_model_meta_val_str_by_index(live(), i, text, size));
        entries.set(key, value);
      }
      return entries;
    },

    chatTemplate: (name) => bindings.llama_model_chat_template(live(), name ?? null) ?? undefined,

    createContext(contextOptions) {
      if (vocabOnly) throw new LlamaError('a model loaded with vocabOnly cannot compute');
      const context = createContext(
        {
          bindings,
          log,
          model: live(),
          vocabSize: vocab.size,
          embeddingSize: bindings.llama_model_n_embd_out(live()),
          offloaded,
          onDispose: (disposed) => contexts.delete(disposed),
        },
        contextOptions,
      );
      contexts.add(context);
      return context;
    },

    dispose,
    [Symbol.dispose]: dispose,
  };
}

/** llama.cpp reports progress for every tensor; a listener hears each percent once. */
function wholePercents(onProgress: LoadModelOptions['onProgress']): (fraction: number) => boolean {
  let last = -1;
  return (fraction) => {
    const percent = Math.floor(fraction * 100);
    if (onProgress !== undefined && percent > last) {
      last = percent;
      onProgress(percent / 100);
    }
    return true;
  };
}

/** Texts of unknown length, the way of C's snprintf: a first call says how long, a second one fills the buffer. */
function readText(read: (text: Uint8Array | null, size: number) => number): string {
  const length = read(null, 0);
  const buffer = Buffer.alloc(length + 1);
  read(buffer, buffer.length);
  return buffer.toString('utf8', 0, length);
}
