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
const I32 = 26;
const I64 = 27;
const N_TASKS_MAX = -1;

const PROBE_NAME = 'quire_layout_probe';
const NODES = 32;
/** Any value that is not by chance in a node: it is stored, never followed. */
const USER_DATA = 0x5eed5eedn;

/** What ggml calls the kinds of nodes whose codes are learnt. */
const OP_NAMES: readonly (readonly [keyof OpCodes, string])[] = [
  ['set_rows', 'SET_ROWS'],
  ['flash_attention', 'FLASH_ATTN_EXT'],
  ['custom', 'CUSTOM'],
  ['add', 'ADD'],
  ['multiply', 'MUL'],
  ['rms_norm', 'RMS_NORM'],
  ['rope', 'ROPE'],
  ['view', 'VIEW'],
  ['reshape', 'RESHAPE'],
  ['permute', 'PERMUTE'],
  ['transpose', 'TRANSPOSE'],
];

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

    const positions = tensor(I32, 4, 1, 1, 1);
    const divisors = tensor(F32, 8, 1, 1, 1);

    const codes = Object.fromEntries(OP_NAMES.map(([kind]) => [kind, 0])) as unknown as OpCodes;
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
        positions,
        divisors,
        rope: ggml.rope(context, query, positions, divisors, 16, 2, 3, 4, 5, 6, 7, 8, 9),
        view: ggml.view(context, rows, 64, 0),
        reshape: ggml.reshape(context, rows, 32, 4),
        permute: ggml.permute(context, rows, 1, 0, 2, 3),
        transpose: ggml.transpose(context, rows),
      },
      codes,
    );
    if (wrong !== null) throw unfit(`${wrong} is laid out differently`);
    for (const [kind, name] of OP_NAMES) {
      if (ggml.opName(codes[kind]) !== name) throw unfit(`the code of ${name} is not where it is expected`);
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
    rope: library.func(
      'void *ggml_rope_ext(void *context, void *a, void *positions, void *divisors, int dimensions, int mode, int length, ' +
        'float base, float scale, float extrapolation, float magnitude, float beta_fast, float beta_slow)',
    ),
    view: library.func('void *ggml_view_1d(void *context, void *a, int64_t, size_t offset)'),
    reshape: library.func('void *ggml_reshape_2d(void *context, void *a, int64_t, int64_t)'),
    permute: library.func('void *ggml_permute(void *context, void *a, int, int, int, int)'),
    transpose: library.func('void *ggml_transpose(void *context, void *a)'),
    add: library.func('void *ggml_add(void *context, void *a, void *b)'),
    rmsNorm: library.func('void *ggml_rms_norm(void *context, void *a, float epsilon)'),
    multiply: library.func('void *ggml_mul(void *context, void *a, void *b)'),
    custom: library.func(
      'void *ggml_custom_4d(void *context, int type, int64_t, int64_t, int64_t, int64_t, void **sources, int count, ' +
        'void *function, int n_tasks, void *user_data)',
    ),
  };
}
