import koffi from 'koffi';
import { AttentionError } from './attention-error.js';
import type { KernelLibrary, OpCodes, Pointer } from './kernel-library.js';

const INIT_PARAMS = koffi.struct('quire_ggml_init_params', {
  mem_size: 'size_t',
  mem_buffer: 'void *',
  no_alloc: 'bool',
});

/** `enum ggml_type` and `GGML_N_TASKS_MAX`, which are part of the GGUF format and of ggml's interface. */
const F32 = 0;
const F16 = 1;
const I64 = 27;
const N_TASKS_MAX = -1;

const PROBE_NAME = 'quire_layout_probe';
const NODES = 24;
/** Any value that is not by chance in a node: it is stored, never followed. */
const USER_DATA = 0x5eed5eedn;

/**
 * Has the loaded ggml make one node of each kind that the kernel reads or rewrites, lets the kernel compare them with
 * its mirror of `struct ggml_tensor`, and learns from them what this ggml's codes for the kinds are.
 * @param ggmlBaseLibrary path of the libggml-base that the loaded llama.cpp uses
 * @throws AttentionError when this ggml is built differently
 */
export function learnGgmlLayout(ggmlBaseLibrary: string, kernel: KernelLibrary): OpCodes {
  const ggml = bind(ggmlBaseLibrary);
  const bytes = NODES * (Number(ggml.tensorOverhead()) + 64);
  const context: Pointer | null = ggml.init({ mem_size: bytes, mem_buffer: null, no_alloc: true });
  if (context === null) throw new AttentionError('ggml_init failed: out of memory');
  try {
    const tensor = (type: number, ...ne: [number, number, number, number]): Pointer =>
      ggml.newTensor(context, type, ...ne);
    const named = tensor(F32, 3, 5, 7, 11);
    ggml.setName(named, PROBE_NAME);

    const cache = tensor(F16, 64, 4, 1, 1);
    const rows = tensor(F32, 64, 2, 1, 1);
    const indices = tensor(I64, 2, 1, 1, 1);
    const query = tensor(F32, 32, 2, 4, 1);
    const key = tensor(F16, 32, 4, 2, 1);
    const value = tensor(F16, 32, 4, 2, 1);
    const sinks = tensor(F32, 4, 1, 1, 1);
    const mask = tensor(F16, 4, 2, 1, 1);
    const attention = ggml.flashAttention(context, query, key, value, mask, 0.5, 0.25, 0.125);
    ggml.addSinks(attention, sinks);
    const callback = kernel.evalCallback();
    const custom = ggml.custom(context, F32, 1, 1, 1, 1, [rows], 1, callback, N_TASKS_MAX, USER_DATA);

    const sumWith = tensor(F32, 64, 2, 1, 1);
    const add = ggml.add(context, rows, sumWith);
    const norm = ggml.rmsNorm(context, add, 0.75);
    const weight = tensor(F32, 64, 1, 1, 1);
    const multiply = ggml.multiply(context, norm, weight);

    const codes: OpCodes = { set_rows: 0, flash_attention: 0, custom: 0, add: 0, multiply: 0, rms_norm: 0 };
    const wrong = kernel.checkLayout(
      {
        tensor: named,
        name: PROBE_NAME,
        cache,
        rows,
        indices,
        set_rows: ggml.setRows(context, cache, rows, indices),
        query,
        key,
        value,
        mask,
        sinks,
        flash_attention: attention,
        custom,
        function: callback,
        user_data: USER_DATA,
        sum_with: sumWith,
        add,
        rms_norm: norm,
        weight,
        multiply,
      },
      codes,
    );
    if (wrong !== null) throw unfit(`${wrong} is laid out differently`);
    const names: [number, string][] = [
      [codes.set_rows, 'SET_ROWS'],
      [codes.flash_attention, 'FLASH_ATTN_EXT'],
      [codes.custom, 'CUSTOM'],
      [codes.add, 'ADD'],
      [codes.rms_norm, 'RMS_NORM'],
      [codes.multiply, 'MUL'],
    ];
    for (const [code, name] of names) {
      if (ggml.opName(code) !== name) throw unfit(`the code of ${name} is not where it is expected`);
    }
    return codes;
  } finally {
    ggml.free(context);
  }
}

function unfit(reason: string): AttentionError {
  return new AttentionError(
    `the paged-attention kernel is made for llama.cpp v0.5.0 and does not fit the loaded one: ${reason}`,
    "Install the exact version of node-llama-cpp that Quire's package.json pins.",
  );
}

/** The few functions of ggml.h that make nodes, under their C names. */
function bind(path: string) {
  const library = koffi.load(path);
  return {
    init: library.func('ggml_init', 'void *', [INIT_PARAMS]),
    free: library.func('void ggml_free(void *context)'),
    tensorOverhead: library.func('size_t ggml_tensor_overhead()'),
    opName: library.func('const char *ggml_op_name(int op)'),
    newTensor: library.func('void *ggml_new_tensor_4d(void *context, int type, int64_t, int64_t, int64_t, int64_t)'),
    setName: library.func('void *ggml_set_name(void *tensor, const char *name)'),
    setRows: library.func('void *ggml_set_rows(void *context, void *cache, void *rows, void *indices)'),
    flashAttention: library.func(
      'void *ggml_flash_attn_ext(void *context, void *query, void *key, void *value, void *mask, float scale, ' +
        'float max_bias, float logit_softcap)',
    ),
    addSinks: library.func('void ggml_flash_attn_ext_add_sinks(void *attention, void *sinks)'),
    add: library.func('void *ggml_add(void *context, void *a, void *b)'),
    rmsNorm: library.func('void *ggml_rms_norm(void *context, void *a, float epsilon)'),
    multiply: library.func('void *ggml_mul(void *context, void *a, void *b)'),
    custom: library.func(
      'void *ggml_custom_4d(void *context, int type, int64_t, int64_t, int64_t, int64_t, void **sources, int count, ' +
        'void *function, int n_tasks, void *user_data)',
    ),
  };
}
