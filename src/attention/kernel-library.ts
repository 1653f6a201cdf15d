/** The functions of native/quire_attention.h that TypeScript calls; that header says what each does. */
import koffi, { type KoffiFunc } from 'koffi';
import { AttentionError } from './attention-error.js';

/** An address in native memory. */
export type Pointer = bigint;

/** `struct quire_op_codes`. */
export interface OpCodes {
  set_rows: number;
  flash_attention: number;
  custom: number;
  add: number;
  rms_norm: number;
  multiply: number;
  rope: number;
  view: number;
  reshape: number;
  permute: number;
  transpose: number;
}

/** `struct quire_layout_probe`. */
export interface LayoutProbe {
  tensor: Pointer;
  name: string;
  cache: Pointer;
  rows: Pointer;
  indices: Pointer;
  set_rows: Pointer;
  query: Pointer;
  key: Pointer;
  value: Pointer;
  mask: Pointer;
  sinks: Pointer;
  flash_attention: Pointer;
  custom: Pointer;
  function: Pointer;
  user_data: Pointer;
  sum_with: Pointer;
  add: Pointer;
  rms_norm: Pointer;
  weight: Pointer;
  multiply: Pointer;
  positions: Pointer;
  divisors: Pointer;
  rope: Pointer;
  view: Pointer;
  reshape: Pointer;
  permute: Pointer;
  transpose: Pointer;
}

/** `QUIRE_ERROR_BYTES`. */
const ERROR_BYTES = 256;

const OP_CODES = koffi.struct('quire_op_codes', {
  set_rows: 'int32_t',
  flash_attention: 'int32_t',
  custom: 'int32_t',
  add: 'int32_t',
  multiply: 'int32_t',
  rms_norm: 'int32_t',
  rope: 'int32_t',
  view: 'int32_t',
  reshape: 'int32_t',
  permute: 'int32_t',
  transpose: 'int32_t',
});

/** `struct quire_shape`. */
export interface NativeShape {
  layers: number;
  kv_heads: number;
  head_size: number;
  pages: number;
  page_type: number;
  window: number;
  windowed: Uint8Array | null;
  threads: number;
}

const SHAPE = koffi.struct('quire_shape', {
  layers: 'int32_t',
  kv_heads: 'int32_t',
  head_size: 'int32_t',
  pages: 'int32_t',
  page_type: 'int32_t',
  window: 'int32_t',
  windowed: 'const uint8_t *',
  threads: 'int32_t',
});

/** `struct quire_layer_facts`. */
export interface NativeLayerFacts {
  nodes: number;
  kv_heads: number;
  key_size: number;
  value_size: number;
  first_row_sees: number;
  second_row_sees: number;
}

const LAYER_FACTS = koffi.struct('quire_layer_facts', {
  nodes: 'int32_t',
  kv_heads: 'int32_t',
  key_size: 'int32_t',
  value_size: 'int32_t',
  first_row_sees: 'uint32_t',
  second_row_sees: 'uint32_t',
});

const LAYOUT_PROBE = koffi.struct('quire_layout_probe', {
  tensor: 'void *',
  name: 'const char *',
  cache: 'void *',
  rows: 'void *',
  indices: 'void *',
  set_rows: 'void *',
  query: 'void *',
  key: 'void *',
  value: 'void *',
  mask: 'void *',
  sinks: 'void *',
  flash_attention: 'void *',
  custom: 'void *',
  function: 'void *',
  user_data: 'void *',
  sum_with: 'void *',
  add: 'void *',
  rms_norm: 'void *',
  weight: 'void *',
  multiply: 'void *',
  positions: 'void *',
  divisors: 'void *',
  rope: 'void *',
  view: 'void *',
  reshape: 'void *',
  permute: 'void *',
  transpose: 'void *',
});

/** `struct quire_decode`. */
export interface NativeDecode {
  context: Pointer;
  batch: Pointer;
}

const DECODE = koffi.struct('quire_decode', { context: 'void *', batch: 'void *' });

export type KernelLibrary = ReturnType<typeof loadKernelLibrary>;

/** @throws AttentionError when the file is not a kernel library of this version. */
export function loadKernelLibrary(path: string) {
  try {
    return bind(path);
  } catch (error) {
    throw new AttentionError(`cannot load the attention kernel: ${(error as Error).message}`);
  }
}

function bind(path: string) {
  const library = koffi.load(path);
  return {
    checkLayout: library.func('quire_check_layout', 'const char *', [
      koffi.pointer(LAYOUT_PROBE),
      koffi.out(koffi.pointer(OP_CODES)),
    ]) as KoffiFunc<(probe: LayoutProbe, codes: OpCodes) => string | null>,
    level: library.func('const char *quire_level(int32_t index)') as KoffiFunc<(index: number) => string | null>,
    open: library.func('quire_open', 'void *', [
      koffi.pointer(SHAPE),
      'const char *',
      koffi.pointer(OP_CODES),
      'void *',
    ]) as KoffiFunc<(shape: NativeShape, level: string, codes: OpCodes, error: Uint8Array) => Pointer | null>,
    share: library.func('int32_t quire_share(void *handle, int32_t descriptor, size_t tail_bytes)') as KoffiFunc<
      (handle: Pointer, descriptor: number, tailBytes: number) => number
    >,
    expectBacking: library.func('void quire_expect_backing(void *handle)') as KoffiFunc<(handle: Pointer) => void>,
    backAhead: library.func('void quire_back_ahead(void *handle, size_t bytes)') as KoffiFunc<
      (handle: Pointer, bytes: number) => void
    >,
    tail: library.func('void *quire_tail(void *handle)') as KoffiFunc<(handle: Pointer) => Pointer | null>,
    sumPages: library.func(
      'int32_t quire_sum_pages(void *handle, int32_t first, int32_t count, void *sum)',
    ) as KoffiFunc<(handle: Pointer, first: number, count: number, sum: Uint8Array) => number>,
    close: library.func('void quire_close(void *handle)') as KoffiFunc<(handle: Pointer) => void>,
    evalCallback: library.func('void *quire_eval_callback()') as KoffiFunc<() => Pointer>,
    beginStep: library.func(
      'int32_t quire_begin_step(void *handle, int32_t rows, const int32_t *positions, const int32_t *slots, ' +
        'const int32_t *table_offsets, const int32_t *tables, int32_t table_entries, void *error)',
    ) as KoffiFunc<
      (
        handle: Pointer,
        rows: number,
        positions: Int32Array,
        slots: Int32Array,
        tableOffsets: Int32Array,
        tables: Int32Array,
        tableEntries: number,
        error: Uint8Array,
      ) => number
    >,
    expectOutputs: library.func('void quire_expect_outputs(void *handle, const int8_t *outputs)') as KoffiFunc<
      (handle: Pointer, outputs: Int8Array) => void
    >,
    lanesOpen: library.func('void *quire_lanes_open(void *handle, int32_t count)') as KoffiFunc<
      (handle: Pointer, count: number) => Pointer | null
    >,
    lane: library.func('void *quire_lane(void *lanes, int32_t index)') as KoffiFunc<
      (lanes: Pointer, index: number) => Pointer
    >,
    lanesCompute: library.func('quire_lanes_compute', 'int32_t', [
      'void *',
      'void *',
      koffi.pointer(DECODE),
    ]) as KoffiFunc<(lanes: Pointer, llamaDecode: Pointer, decodes: NativeDecode[]) => number>,
    lanesClose: library.func('void quire_lanes_close(void *lanes)') as KoffiFunc<(lanes: Pointer) => void>,
    copyPage: library.func('int32_t quire_copy_page(void *handle, int32_t source, int32_t target)') as KoffiFunc<
      (handle: Pointer, source: number, target: number) => number
    >,
    takeError: library.func('const char *quire_take_error(void *handle)') as KoffiFunc<
      (handle: Pointer) => string | null
    >,
    surveyOpen: library.func('quire_survey_open', 'void *', ['int32_t', koffi.pointer(OP_CODES)]) as KoffiFunc<
      (layers: number, codes: OpCodes) => Pointer | null
    >,
    surveyCallback: library.func('void *quire_survey_callback()') as KoffiFunc<() => Pointer>,
    surveyBegin: library.func('void quire_survey_begin(void *survey)') as KoffiFunc<(survey: Pointer) => void>,
    surveyLayer: library.func('quire_survey_layer', 'void', [
      'void *',
      'int32_t',
      koffi.out(koffi.pointer(LAYER_FACTS)),
    ]) as KoffiFunc<(survey: Pointer, layer: number, facts: Partial<NativeLayerFacts>) => void>,
    surveyLongRope: library.func('int32_t quire_survey_long_rope(void *survey)') as KoffiFunc<
      (survey: Pointer) => number
    >,
    surveyClose: library.func('void quire_survey_close(void *survey)') as KoffiFunc<(survey: Pointer) => void>,
  };
}

/** Room for the error message of a native call. */
export function errorBuffer(): Uint8Array {
  return new Uint8Array(ERROR_BYTES);
}

/** The message that a native call left in its buffer. */
export function errorText(buffer: Uint8Array): string {
  return Buffer.from(buffer.subarray(0, buffer.indexOf(0))).toString();
}
