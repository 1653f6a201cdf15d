/**
 * The C functions and structs of llama.cpp v0.5.0 that Quire calls, under their C names: include/llama.h,
 * ggml/include/ggml.h and ggml-backend.h say what each does. Structs pass by value, so their layout must be exact:
 * {@link checkLayout} compares the library's own defaults with what they are in that version.
 */
import koffi, { type KoffiFunc, type LibraryHandle, type TypeObject } from 'koffi';
import type { Libraries } from './libraries.js';
import { MAX_THREADS } from './limits.js';
import { LlamaError } from './llama-error.js';

const LLAMA_VERSION = '0.5.0';

// Native code runs on stacks that koffi allocates. Its defaults (2 MiB, 128 KiB for asynchronous calls) are less than
// llama.cpp's tokenisers (recursive regular expressions) and graph code may assume on a thread of their own.
const STACK_BYTES = 8 * 1024 * 1024;
if (koffi.config().sync_stack_size !== STACK_BYTES) {
  koffi.config({ sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES });
}

/** An address in native memory. */
export type Pointer = bigint;

/** `struct llama_model_params`, as far as Quire reads or writes it; fields not named keep llama.cpp's defaults. */
export interface ModelParams {
  devices: Pointer | null;
  n_gpu_layers: number;
  /** `enum llama_load_mode`. */
  load_mode: number;
  progress_callback: Pointer | null;
  vocab_only: boolean;
}

/** `struct llama_context_params`, likewise. */
export interface ContextParams {
  n_ctx: number;
  n_batch: number;
  n_ubatch: number;
  n_seq_max: number;
  n_outputs_max: number;
  n_outputs_max_per_seq: number;
  n_threads: number;
  n_threads_batch: number;
  pooling_type: number;
  flash_attn_type: number;
  type_k: number;
  type_v: number;
  cb_eval: Pointer | null;
  cb_eval_user_data: Pointer | null;
  offload_kqv: boolean;
  op_offload: boolean;
  kv_unified: boolean;
}

/** `struct llama_model_quantize_params`, likewise. */
export interface QuantizeParams {
  nthread: number;
  ftype: number;
  allow_requantize: boolean;
}

/** `struct llama_batch`; token embeddings instead of tokens are not used. */
export interface BatchStruct {
  n_tokens: number;
  token: Pointer;
  embd: null;
  pos: Pointer;
  n_seq_id: Pointer;
  seq_id: Pointer;
  logits: Pointer;
}

/** `struct ggml_threadpool_params`, as far as Quire writes it. */
export interface ThreadPoolParams {
  poll: number;
}

// All types are named: koffi finds pointer types by name, and the names it makes up for anonymous types can coincide.

const MODEL_PARAMS = koffi.struct('llama_model_params', {
  devices: 'void *',
  tensor_buft_overrides: 'void *',
  n_gpu_layers: 'int32_t',
  split_mode: 'int32_t',
  load_mode: 'int32_t',
  lazy_mode: 'int32_t',
  main_gpu: 'int32_t',
  tensor_split: 'void *',
  progress_callback: 'void *',
  progress_callback_user_data: 'void *',
  kv_overrides: 'void *',
  vocab_only: 'bool',
  check_tensors: 'bool',
  use_extra_bufts: 'bool',
  no_host: 'bool',
  no_alloc: 'bool',
  load_mtp: 'bool',
});

const CONTEXT_PARAMS = koffi.struct('llama_context_params', {
  n_ctx: 'uint32_t',
  n_batch: 'uint32_t',
  n_ubatch: 'uint32_t',
  n_seq_max: 'uint32_t',
  n_rs_seq: 'uint32_t',
  n_outputs_max: 'uint32_t',
  n_outputs_max_per_seq: 'uint32_t',
  n_threads: 'int32_t',
  n_threads_batch: 'int32_t',
  ctx_type: 'int32_t',
  rope_scaling_type: 'int32_t',
  pooling_type: 'int32_t',
  attention_type: 'int32_t',
  flash_attn_type: 'int32_t',
  rope_freq_base: 'float',
  rope_freq_scale: 'float',
  yarn_ext_factor: 'float',
  yarn_attn_factor: 'float',
  yarn_beta_fast: 'float',
  yarn_beta_slow: 'float',
  yarn_orig_ctx: 'uint32_t',
  defrag_thold: 'float',
  cb_eval: 'void *',
  cb_eval_user_data: 'void *',
  type_k: 'int32_t',
  type_v: 'int32_t',
  abort_callback: 'void *',
  abort_callback_data: 'void *',
  embeddings: 'bool',
  offload_kqv: 'bool',
  no_perf: 'bool',
  op_offload: 'bool',
  swa_full: 'bool',
  kv_unified: 'bool',
  samplers: 'void *',
  n_samplers: 'size_t',
  ctx_other: 'void *',
});

const QUANTIZE_PARAMS = koffi.struct('llama_model_quantize_params', {
  nthread: 'int32_t',
  ftype: 'int32_t',
  output_tensor_type: 'int32_t',
  token_embedding_type: 'int32_t',
  allow_requantize: 'bool',
  quantize_output_tensor: 'bool',
  only_copy: 'bool',
  pure: 'bool',
  keep_split: 'bool',
  dry_run: 'bool',
  imatrix: 'void *',
  kv_overrides: 'void *',
  tt_overrides: 'void *',
  prune_layers: 'void *',
  max_buf_size: 'size_t',
});

/** `struct llama_batch`. */
export const BATCH = koffi.struct('llama_batch', {
  n_tokens: 'int32_t',
  token: 'void *',
  embd: 'void *',
  pos: 'void *',
  n_seq_id: 'void *',
  seq_id: 'void *',
  logits: 'void *',
});

const THREAD_POOL_PARAMS = koffi.struct('ggml_threadpool_params', {
  cpumask: koffi.array('bool', MAX_THREADS),
  n_threads: 'int32_t',
  prio: 'int32_t',
  poll: 'uint32_t',
  strict_cpu: 'bool',
  paused: 'bool',
});

const LOG_CALLBACK = koffi.proto('ggml_log_callback', 'void', ['int', 'const char *', 'void *']);
const THREAD_POOL_NEW = koffi.proto('ggml_threadpool_new', 'void *', [koffi.pointer(THREAD_POOL_PARAMS)]);
const THREAD_POOL_FREE = koffi.proto('ggml_threadpool_free', 'void', ['void *']);
const PROGRESS_CALLBACK = koffi.proto('llama_progress_callback', 'bool', ['float', 'void *']);

/** Makes a C function of `callback`; it lives as long as the process, as the library's logger does. */
export function logCallback(callback: (level: number, text: string | null) => void): Pointer {
  return koffi.register(callback, koffi.pointer(LOG_CALLBACK));
}

/** Runs `body` with a C function that calls `callback` with a fraction from 0 to 1; false from it cancels a load. */
export function withProgressCallback<T>(callback: (fraction: number) => boolean, body: (pointer: Pointer) => T): T {
  const pointer = koffi.register(callback, koffi.pointer(PROGRESS_CALLBACK));
  try {
    return body(pointer);
  } finally {
    koffi.unregister(pointer);
  }
}

export type Bindings = ReturnType<typeof bindLibraries>;

/**
 * Opens the libraries and declares their functions. Nothing is called yet.
 * @throws LlamaError when the system's loader refuses a library or a function is missing.
 */
export function bindLibraries(files: Libraries) {
  const base = open(files.ggmlBase);
  const ggml = open(files.ggml);
  const llama = open(files.llama);

  /** The TypeScript type is a claim; the C types are what converts the arguments. */
  function declare<T extends (...args: never[]) => unknown>(
    library: LibraryHandle,
    name: string,
    result: string | TypeObject,
    parameters: (string | TypeObject)[],
  ): KoffiFunc<T> {
    try {
      return library.func(name, result, parameters) as unknown as KoffiFunc<T>;
    } catch (error) {
      throw new LlamaError(`${files.package} has no function ${name}: ${(error as Error).message}`, MISMATCH_HINT);
    }
  }

  type OfModel<T> = (model: Pointer) => T;
  type OfVocab<T> = (vocab: Pointer) => T;
  type OfToken<T> = (vocab: Pointer, token: number) => T;
  /** Integers of 64 bits come as bigint where a number cannot hold them. */
  type Long = number | bigint;

  const p = 'void *';
  const i32 = 'int32_t';

  return {
    /** A C function that takes nothing, does nothing, and can therefore stand where a callback is to be ignored. */
    noOperation: llama.symbol('llama_max_devices') as Pointer,

    ggml_backend_load_all_from_path: declare<(directory: string) => void>(
      ggml,
      'ggml_backend_load_all_from_path',
      'void',
      ['const char *'],
    ),
    ggml_backend_reg_by_name: declare<(name: string) => Pointer | null>(ggml, 'ggml_backend_reg_by_name', p, [
      'const char *',
    ]),
    ggml_backend_reg_get_proc_address: declare<(backend: Pointer, name: string) => Pointer | null>(
      base,
      'ggml_backend_reg_get_proc_address',
      p,
      [p, 'const char *'],
    ),
    ggml_backend_dev_count: declare<() => Long>(ggml, 'ggml_backend_dev_count', 'size_t', []),
    ggml_backend_dev_get: declare<(index: number) => Pointer>(ggml, 'ggml_backend_dev_get', p, ['size_t']),
    ggml_backend_dev_name: declare<(device: Pointer) => string>(base, 'ggml_backend_dev_name', 'const char *', [p]),
    ggml_backend_dev_description: declare<(device: Pointer) => string>(
      base,
      'ggml_backend_dev_description',
      'const char *',
      [p],
    ),
    ggml_backend_dev_type: declare<(device: Pointer) => number>(base, 'ggml_backend_dev_type', i32, [p]),
    ggml_backend_dev_memory: declare<(device: Pointer, free: BigUint64Array, total: BigUint64Array) => void>(
      base,
      'ggml_backend_dev_memory',
      'void',
      [p, p, p],
    ),
    ggml_threadpool_params_default: declare<(threads: number) => ThreadPoolParams>(
      base,
      'ggml_threadpool_params_default',
      THREAD_POOL_PARAMS,
      [i32],
    ),

    llama_version: declare<() => string>(llama, 'llama_version', 'const char *', []),
    llama_log_set: declare<(callback: Pointer, data: null) => void>(llama, 'llama_log_set', 'void', [p, p]),
    llama_model_default_params: declare<() => ModelParams>(llama, 'llama_model_default_params', MODEL_PARAMS, []),
    llama_context_default_params: declare<() => ContextParams>(
      llama,
      'llama_context_default_params',
      CONTEXT_PARAMS,
      [],
    ),
    llama_model_quantize_default_params: declare<() => QuantizeParams>(
      llama,
      'llama_model_quantize_default_params',
      QUANTIZE_PARAMS,
      [],
    ),
    llama_model_quantize: declare<(source: string, target: string, params: QuantizeParams) => number>(
      llama,
      'llama_model_quantize',
      'uint32_t',
      ['const char *', 'const char *', koffi.pointer(QUANTIZE_PARAMS)],
    ),

    llama_model_load_from_file: declare<(path: string, params: ModelParams) => Pointer | null>(
      llama,
      'llama_model_load_from_file',
      p,
      ['const char *', MODEL_PARAMS],
    ),
    llama_model_free: declare<OfModel<void>>(llama, 'llama_model_free', 'void', [p]),
    llama_model_get_vocab: declare<OfModel<Pointer>>(llama, 'llama_model_get_vocab', p, [p]),
    llama_model_meta_count: declare<OfModel<number>>(llama, 'llama_model_meta_count', i32, [p]),
    llama_model_meta_key_by_index: declare<
      (model: Pointer, index: number, text: Uint8Array | null, size: number) => number
    >(llama, 'llama_model_meta_key_by_index', i32, [p, i32, p, 'size_t']),
    llama_model_meta_val_str_by_index: declare<
      (model: Pointer, index: number, text: Uint8Array | null, size: number) => number
    >(llama, 'llama_model_meta_val_str_by_index', i32, [p, i32, p, 'size_t']),
    llama_model_desc: declare<(model: Pointer, text: Uint8Array | null, size: number) => number>(
      llama,
      'llama_model_desc',
      i32,
      [p, p, 'size_t'],
    ),
    llama_model_chat_template: declare<(model: Pointer, name: string | null) => string | null>(
      llama,
      'llama_model_chat_template',
      'const char *',
      [p, 'const char *'],
    ),
    llama_model_n_layer: declare<OfModel<number>>(llama, 'llama_model_n_layer', i32, [p]),
    llama_model_n_embd: declare<OfModel<number>>(llama, 'llama_model_n_embd', i32, [p]),
    llama_model_n_embd_out: declare<OfModel<number>>(llama, 'llama_model_n_embd_out', i32, [p]),
    llama_model_n_head: declare<OfModel<number>>(llama, 'llama_model_n_head', i32, [p]),
    llama_model_n_head_kv: declare<OfModel<number>>(llama, 'llama_model_n_head_kv', i32, [p]),
    llama_model_n_ctx_train: declare<OfModel<number>>(llama, 'llama_model_n_ctx_train', i32, [p]),
    llama_model_n_swa: declare<OfModel<number>>(llama, 'llama_model_n_swa', i32, [p]),
    llama_model_rope_type: declare<OfModel<number>>(llama, 'llama_model_rope_type', i32, [p]),
    llama_model_n_params: declare<OfModel<Long>>(llama, 'llama_model_n_params', 'uint64_t', [p]),
    llama_model_size: declare<OfModel<Long>>(llama, 'llama_model_size', 'uint64_t', [p]),
    llama_model_ftype: declare<OfModel<number>>(llama, 'llama_model_ftype', i32, [p]),
    llama_model_is_recurrent: declare<OfModel<boolean>>(llama, 'llama_model_is_recurrent', 'bool', [p]),
    llama_model_is_hybrid: declare<OfModel<boolean>>(llama, 'llama_model_is_hybrid', 'bool', [p]),
    llama_model_has_encoder: declare<OfModel<boolean>>(llama, 'llama_model_has_encoder', 'bool', [p]),
    llama_model_has_decoder: declare<OfModel<boolean>>(llama, 'llama_model_has_decoder', 'bool', [p]),

    llama_vocab_type: declare<OfVocab<number>>(llama, 'llama_vocab_type', i32, [p]),
    llama_vocab_n_tokens: declare<OfVocab<number>>(llama, 'llama_vocab_n_tokens', i32, [p]),
    llama_vocab_bos: declare<OfVocab<number>>(llama, 'llama_vocab_bos', i32, [p]),
    llama_vocab_eos: declare<OfVocab<number>>(llama, 'llama_vocab_eos', i32, [p]),
    llama_vocab_eot: declare<OfVocab<number>>(llama, 'llama_vocab_eot', i32, [p]),
    llama_vocab_sep: declare<OfVocab<number>>(llama, 'llama_vocab_sep', i32, [p]),
    llama_vocab_nl: declare<OfVocab<number>>(llama, 'llama_vocab_nl', i32, [p]),
    llama_vocab_pad: declare<OfVocab<number>>(llama, 'llama_vocab_pad', i32, [p]),
    llama_vocab_fim_pre: declare<OfVocab<number>>(llama, 'llama_vocab_fim_pre', i32, [p]),
    llama_vocab_fim_suf: declare<OfVocab<number>>(llama, 'llama_vocab_fim_suf', i32, [p]),
    llama_vocab_fim_mid: declare<OfVocab<number>>(llama, 'llama_vocab_fim_mid', i32, [p]),
    llama_vocab_get_add_bos: declare<OfVocab<boolean>>(llama, 'llama_vocab_get_add_bos', 'bool', [p]),
    llama_vocab_get_add_eos: declare<OfVocab<boolean>>(llama, 'llama_vocab_get_add_eos', 'bool', [p]),
    llama_vocab_is_eog: declare<OfToken<boolean>>(llama, 'llama_vocab_is_eog', 'bool', [p, i32]),
    llama_vocab_is_control: declare<OfToken<boolean>>(llama, 'llama_vocab_is_control', 'bool', [p, i32]),
    llama_tokenize: declare<
      (
        vocab: Pointer,
        text: Uint8Array,
        bytes: number,
        tokens: Int32Array,
        capacity: number,
        addSpecial: boolean,
        parseSpecial: boolean,
      ) => number
    >(llama, 'llama_tokenize', i32, [p, p, i32, p, i32, 'bool', 'bool']),
    llama_token_to_piece: declare<
      (vocab: Pointer, token: number, piece: Uint8Array, size: number, leftStrip: number, special: boolean) => number
    >(llama, 'llama_token_to_piece', i32, [p, i32, p, i32, i32, 'bool']),

    llama_init_from_model: declare<(model: Pointer, params: ContextParams) => Pointer | null>(
      llama,
      'llama_init_from_model',
      p,
      [p, CONTEXT_PARAMS],
    ),
    llama_free: declare<(context: Pointer) => void>(llama, 'llama_free', 'void', [p]),
    llama_decode: declare<(context: Pointer, batch: BatchStruct) => number>(llama, 'llama_decode', i32, [p, BATCH]),
    /** The address of that function. */
    llamaDecode: llama.symbol('llama_decode', p) as Pointer,
    llama_get_logits: declare<(context: Pointer) => Pointer | null>(llama, 'llama_get_logits', p, [p]),
    llama_set_embeddings: declare<(context: Pointer, embeddings: boolean) => void>(
      llama,
      'llama_set_embeddings',
      'void',
      [p, 'bool'],
    ),
    llama_get_embeddings: declare<(context: Pointer) => Pointer | null>(llama, 'llama_get_embeddings', p, [p]),
    llama_attach_threadpool: declare<(context: Pointer, pool: Pointer, batchPool: Pointer) => void>(
      llama,
      'llama_attach_threadpool',
      'void',
      [p, p, p],
    ),
    llama_detach_threadpool: declare<(context: Pointer) => void>(llama, 'llama_detach_threadpool', 'void', [p]),

    llama_get_memory: declare<(context: Pointer) => Pointer | null>(llama, 'llama_get_memory', p, [p]),
    llama_memory_clear: declare<(memory: Pointer, data: boolean) => void>(llama, 'llama_memory_clear', 'void', [
      p,
      'bool',
    ]),
    llama_memory_seq_rm: declare<(memory: Pointer, sequence: number, from: number, to: number) => boolean>(
      llama,
      'llama_memory_seq_rm',
      'bool',
      [p, i32, i32, i32],
    ),
    llama_memory_seq_cp: declare<(memory: Pointer, source: number, target: number, from: number, to: number) => void>(
      llama,
      'llama_memory_seq_cp',
      'void',
      [p, i32, i32, i32, i32],
    ),
    llama_memory_seq_pos_min: declare<(memory: Pointer, sequence: number) => number>(
      llama,
      'llama_memory_seq_pos_min',
      i32,
      [p, i32],
    ),
    llama_memory_seq_pos_max: declare<(memory: Pointer, sequence: number) => number>(
      llama,
      'llama_memory_seq_pos_max',
      i32,
      [p, i32],
    ),

    llama_state_seq_get_size: declare<(context: Pointer, sequence: number) => Long>(
      llama,
      'llama_state_seq_get_size',
      'size_t',
      [p, i32],
    ),
    llama_state_seq_get_data: declare<(context: Pointer, target: Uint8Array, size: number, sequence: number) => Long>(
      llama,
      'llama_state_seq_get_data',
      'size_t',
      [p, p, 'size_t', i32],
    ),
    llama_state_seq_set_data: declare<(context: Pointer, source: Uint8Array, size: number, sequence: number) => Long>(
      llama,
      'llama_state_seq_set_data',
      'size_t',
      [p, p, 'size_t', i32],
    ),

    /** Functions of the CPU backend's thread pools: its library is chosen at run time, so they are found by address. */
    threadPools(cpuBackend: Pointer) {
      const address = (name: string) => {
        const pointer = this.ggml_backend_reg_get_proc_address(cpuBackend, name);
        if (pointer === null) throw new LlamaError(`the CPU backend has no ${name}`, MISMATCH_HINT);
        return pointer;
      };
      return {
        create: koffi.decode(address('ggml_threadpool_new'), THREAD_POOL_NEW) as (
          params: ThreadPoolParams,
        ) => Pointer | null,
        free: koffi.decode(address('ggml_threadpool_free'), THREAD_POOL_FREE) as (pool: Pointer) => void,
      };
    },
  };
}

function open(file: string): LibraryHandle {
  try {
    return koffi.load(file);
  } catch (error) {
    throw new LlamaError(
      `cannot load ${file}: ${(error as Error).message}`,
      'A library it needs is missing or too old: glibc 2.34, libstdc++ of GCC 12; for a GPU, its driver and run time.',
    );
  }
}

const MISMATCH_HINT = 'Install the version of node-llama-cpp that Quire pins: npm ci, or npm install quire again.';

/** Defaults of llama.cpp v0.5.0 that tell a shifted layout: many distinct values, up to the last fields. */
const MODEL_DEFAULTS = {
  n_gpu_layers: -1,
  split_mode: 1,
  load_mode: -1,
  lazy_mode: 1,
  main_gpu: 0,
  progress_callback: null,
  kv_overrides: null,
  vocab_only: false,
  check_tensors: false,
  use_extra_bufts: true,
  no_host: false,
  no_alloc: false,
  load_mtp: false,
};
const CONTEXT_DEFAULTS = {
  n_ctx: 512,
  n_batch: 2048,
  n_ubatch: 512,
  n_seq_max: 1,
  n_rs_seq: 0,
  n_outputs_max: 0,
  n_outputs_max_per_seq: 1,
  n_threads: 4,
  n_threads_batch: 4,
  rope_scaling_type: -1,
  pooling_type: -1,
  attention_type: -1,
  flash_attn_type: -1,
  yarn_ext_factor: -1,
  yarn_orig_ctx: 0,
  defrag_thold: -1,
  cb_eval: null,
  type_k: 1,
  type_v: 1,
  embeddings: false,
  offload_kqv: true,
  no_perf: true,
  op_offload: true,
  swa_full: true,
  kv_unified: false,
  samplers: null,
  n_samplers: 0,
  ctx_other: null,
};
const QUANTIZE_DEFAULTS = {
  nthread: 0,
  ftype: 7,
  allow_requantize: false,
  quantize_output_tensor: true,
  only_copy: false,
  pure: false,
  keep_split: false,
  dry_run: false,
  imatrix: null,
  max_buf_size: 8 * 1024 ** 3,
};

/**
 * Refuses a library whose structs are not laid out as this file says.
 * @throws LlamaError naming the fields that differ.
 */
export function checkLayout(bindings: Bindings): void {
  const version = bindings.llama_version();
  if (!version.startsWith(LLAMA_VERSION)) {
    throw new LlamaError(`llama.cpp ${version} is installed, ${LLAMA_VERSION} is needed`, MISMATCH_HINT);
  }
  const differences = [
    ...differing('llama_model_params', bindings.llama_model_default_params(), MODEL_DEFAULTS),
    ...differing('llama_context_params', bindings.llama_context_default_params(), CONTEXT_DEFAULTS),
    ...differing('llama_model_quantize_params', bindings.llama_model_quantize_default_params(), QUANTIZE_DEFAULTS),
  ];
  if (differences.length > 0) {
    throw new LlamaError(
      `this llama.cpp has other structs than version ${LLAMA_VERSION}: ${differences}`,
      MISMATCH_HINT,
    );
  }
}

function differing(struct: string, actual: object, expected: object): string[] {
  const values = new Map<string, unknown>(Object.entries(actual));
  return Object.entries(expected)
    .filter(([field, value]) => values.get(field) !== value)
    .map(([field, value]) => `${struct}.${field} is ${values.get(field)}, not ${value}`);
}
