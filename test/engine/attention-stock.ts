/** Attention as llama.cpp computes it: GGML_OP_FLASH_ATTN_EXT on the CPU backend that llama.cpp would choose here. */
import koffi from 'koffi';
import { findLibraries, withTrailingSeparator } from '../../src/llama/libraries.js';
import type { Problem } from './attention-harness.js';

/** `enum ggml_type`. */
const TYPES = { f32: 0, f16: 1, q8_0: 8 } as const;
const CPU_DEVICE = 0;
const SCALE_VALUES = 32;
const NODES = 32;

const { directory, ggmlBase, ggml: ggmlPath } = findLibraries('cpu');
const base = koffi.load(ggmlBase);
const registry = koffi.load(ggmlPath);

const INIT_PARAMS = koffi.struct('stock_ggml_init_params', { size: 'size_t', buffer: 'void *', no_alloc: 'bool' });
const SET_THREADS = koffi.proto('void stock_set_threads(void *backend, int threads)');

const init = base.func('ggml_init', 'void *', [INIT_PARAMS]);
const free = base.func('void ggml_free(void *context)');
const tensorOverhead = base.func('size_t ggml_tensor_overhead()');
const graphOverhead = base.func('size_t ggml_graph_overhead()');
const newTensor = base.func('void *ggml_new_tensor_4d(void *context, int type, int64_t, int64_t, int64_t, int64_t)');
const permute = base.func('void *ggml_permute(void *context, void *tensor, int, int, int, int)');
const flashAttention = base.func(
  'void *ggml_flash_attn_ext(void *context, void *q, void *k, void *v, void *mask, float, float, float)',
);
const addSinks = base.func('void ggml_flash_attn_ext_add_sinks(void *attention, void *sinks)');
const newGraph = base.func('void *ggml_new_graph(void *context)');
const expand = base.func('void ggml_build_forward_expand(void *graph, void *node)');
const quantize = base.func(
  'size_t ggml_quantize_chunk(int type, void *source, void *target, int64_t start, int64_t rows, int64_t width, ' +
    'void *importance)',
);
const toHalves = base.func('void ggml_fp32_to_fp16_row(void *source, void *target, int64_t count)');
const fromHalves = base.func('void ggml_fp16_to_fp32_row(void *source, void *target, int64_t count)');
const allocate = base.func('void *ggml_backend_alloc_ctx_tensors(void *context, void *backend)');
const freeBuffer = base.func('void ggml_backend_buffer_free(void *buffer)');
const setTensor = base.func('void ggml_backend_tensor_set(void *tensor, void *data, size_t offset, size_t size)');
const getTensor = base.func('void ggml_backend_tensor_get(void *tensor, void *data, size_t offset, size_t size)');
const compute = base.func('int ggml_backend_graph_compute(void *backend, void *graph)');
const deviceOf = base.func('void *ggml_backend_get_device(void *backend)');
const registrationOf = base.func('void *ggml_backend_dev_backend_reg(void *device)');
const functionOf = base.func('void *ggml_backend_reg_get_proc_address(void *registration, const char *name)');

registry.func('void ggml_backend_load_all_from_path(const char *path)')(withTrailingSeparator(directory));
const backend = registry.func('void *ggml_backend_init_by_type(int type, void *params)')(CPU_DEVICE, null);
const setThreads = functionOf(registrationOf(deviceOf(backend)), 'ggml_backend_set_n_threads');

/** Keys or values as llama.cpp's cache holds them, and what they then are. */
export interface Stored {
  bytes: Uint8Array;
  numbers: Float32Array;
}

export function store(source: Float32Array, type: 'f16' | 'q8_0', width: number): Stored {
  const numbers = new Float32Array(source.length);
  if (type === 'f16') {
    const bytes = new Uint8Array(source.length * 2);
    toHalves(source, bytes, source.length);
    fromHalves(bytes, numbers, source.length);
    return { bytes, numbers };
  }
  const blockBytes = SCALE_VALUES + 2;
  const bytes = new Uint8Array((source.length / SCALE_VALUES) * blockBytes);
  quantize(TYPES.q8_0, source, bytes, 0, source.length / width, width, null);
  const scale = new Float32Array(1);
  for (let block = 0; block * SCALE_VALUES < source.length; block++) {
    const at = block * blockBytes;
    fromHalves(bytes.slice(at, at + 2), scale, 1);
    const integers = new Int8Array(bytes.buffer, at + 2, SCALE_VALUES);
    integers.forEach((integer, i) => {
      numbers[block * SCALE_VALUES + i] = integer * scale[0]!;
    });
  }
  return { bytes, numbers };
}

/** Computes a problem over stored keys and values. @returns [rows][heads][headSize] */
export function runStock(
  problem: Problem,
  cellType: 'f16' | 'q8_0',
  keys: Stored,
  values: Stored,
  threads: number,
): Float32Array {
  const { kvHeads, heads, headSize, positions, rows, sinks } = problem;
  const size = NODES * Number(tensorOverhead()) + Number(graphOverhead());
  const context = init({ size, buffer: null, no_alloc: true });
  const tensor = (type: keyof typeof TYPES, a: number, b = 1, c = 1) => newTensor(context, TYPES[type], a, b, c, 1);
  const cells = () => tensor(cellType, headSize, kvHeads, positions);
  const [k, v] = [cells(), cells()];
  const q = tensor('f32', headSize, rows, heads);
  const mask = tensor('f16', positions, rows);
  // As llama.cpp shows its cache to attention: rows of all heads, seen head by head.
  const view = (cache: unknown) => permute(context, cache, 0, 2, 1, 3);
  const { scale, maxBias, softcap } = problem;
  const node = flashAttention(context, q, view(k), view(v), mask, scale, maxBias, softcap);
  const sink = tensor('f32', heads);
  if (sinks !== undefined) addSinks(node, sink);
  const graph = newGraph(context);
  expand(graph, node);

  const buffer = allocate(context, backend);
  const put = (target: unknown, data: Float32Array | Uint8Array) => setTensor(target, data, 0, data.byteLength);
  put(k, keys.bytes);
  put(v, values.bytes);
  put(q, problem.queries);
  put(mask, maskOf(problem));
  if (sinks !== undefined) put(sink, sinks);
  koffi.call(setThreads, SET_THREADS, backend, threads);
  if (compute(backend, graph) !== 0) throw new Error('ggml_backend_graph_compute failed');
  const output = new Float32Array(rows * heads * headSize);
  getTensor(node, output, 0, output.byteLength);
  freeBuffer(buffer);
  free(context);
  return output;
}

/** Halves [rows][positions]: -infinity where a row sees nothing; under ALiBi, the distance, which slopes multiply. */
function maskOf({ positions, rows, window, maxBias }: Problem): Uint8Array {
  const mask = new Float32Array(rows * positions).fill(Number.NEGATIVE_INFINITY);
  for (let row = 0; row < rows; row++) {
    const last = positions - rows + row;
    const first = window > 0 ? Math.max(0, last - window + 1) : 0;
    for (let p = first; p <= last; p++) mask[row * positions + p] = maxBias > 0 ? p - last : 0;
  }
  const halves = new Uint8Array(mask.length * 2);
  toHalves(mask, halves, mask.length);
  return halves;
}
