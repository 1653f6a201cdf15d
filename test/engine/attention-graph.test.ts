import koffi from 'koffi';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AttentionError, buildKernel, PagedAttention, type PageShape, pageBytes } from '../../src/attention/index.js';
import { findLibraries } from '../../src/llama/libraries.js';

const F32 = 0;
const F16 = 1;
const I64 = 27;

const shape: PageShape = { layers: 2, kvHeads: 2, headSize: 64, type: 'f16' };
const PAGES = 8;
const ROWS = 3;

/** Makes nodes with the loaded ggml, as llama.cpp does, and shows them to the callback. */
const { ggmlBase } = findLibraries('auto');
const ggml = koffi.load(ggmlBase);
const INIT_PARAMS = koffi.struct('test_ggml_init_params', { size: 'size_t', buffer: 'void *', no_alloc: 'bool' });
const init = ggml.func('ggml_init', 'void *', [INIT_PARAMS]);
const free = ggml.func('void ggml_free(void *context)');
const newTensor = ggml.func('void *ggml_new_tensor_4d(void *, int, int64_t, int64_t, int64_t, int64_t)');
const view = ggml.func('void *ggml_view_tensor(void *context, void *tensor)');
const setName = ggml.func('void *ggml_set_name(void *tensor, const char *name)');
const setRows = ggml.func('void *ggml_set_rows(void *, void *cache, void *rows, void *indices)');
const flashAttention = ggml.func(
  'void *ggml_flash_attn_ext(void *, void *q, void *k, void *v, void *mask, float, float, float)',
);
const addSinks = ggml.func('void ggml_flash_attn_ext_add_sinks(void *attention, void *sinks)');
const add = ggml.func('void *ggml_add(void *, void *a, void *b)');
const rmsNorm = ggml.func('void *ggml_rms_norm(void *, void *a, float epsilon)');
const multiply = ggml.func('void *ggml_mul(void *, void *a, void *b)');
const kindOf = ggml.func('const char *ggml_op_desc(void *node)');
const EVAL_CALLBACK = koffi.proto('bool test_eval_callback(void *node, bool ask, void *data)');

let kernel: string;
let attention: PagedAttention;
let context: bigint;

beforeAll(async () => {
  kernel = (await buildKernel()).path;
  attention = new PagedAttention({ shape, pages: PAGES, kernel, ggmlBaseLibrary: ggmlBase });
  context = init({ size: 1 << 20, buffer: null, no_alloc: true });
});

afterAll(() => {
  free(context);
  attention.dispose();
});

beforeEach(() => {
  const rows = Int32Array.of(0, 1, 2);
  attention.beginStep(ROWS, rows, rows, Int32Array.of(0, 0, 0), Int32Array.of(0));
});

function tensor(type: number, a: number, b: number, c = 1): bigint {
  return newTensor(context, type, a, b, c, 1);
}

/** The node that writes keys or values of one layer into llama.cpp's cache. */
function writing(cacheName: string, options: { rows?: number; width?: number } = {}): bigint {
  const { rows = ROWS, width = shape.kvHeads * shape.headSize } = options;
  const cache = setName(tensor(F16, width, 32), cacheName);
  return setRows(context, cache, tensor(F32, width, rows), tensor(I64, rows, 1));
}

/** The node that attends over the cache of one layer. */
function attending(
  layer: number,
  options: Partial<Record<'heads' | 'headSize' | 'bias' | 'cap', number>> = {},
): bigint {
  const { heads = 6, headSize = shape.headSize, bias = 0, cap = 0 } = options;
  const cache = (kind: string) => {
    return view(context, setName(tensor(F16, headSize, 32, shape.kvHeads), `cache_${kind}_l${layer}`));
  };
  const query = tensor(F32, headSize, ROWS, heads);
  return flashAttention(context, query, cache('k'), cache('v'), tensor(F16, 32, ROWS), 0.125, bias, cap);
}

/** Asks the callback about a node. @returns what kind of node it then is */
function show(node: bigint): string {
  const needed = koffi.call(attention.evalCallback, EVAL_CALLBACK, node, true, attention.evalCallbackData);
  expect(needed).toBe(false);
  return kindOf(node);
}

/** The nodes of one layer in llama.cpp's order, the attention last. */
function layerNodes(layer: number, attention = attending(layer)): bigint[] {
  return [writing(`cache_k_l${layer}`), writing(`cache_v_l${layer}`), attention];
}

function withSinks(node: bigint): bigint {
  addSinks(node, tensor(F32, 6, 1));
  return node;
}

describe('a graph that the pages can serve', () => {
  test('has its cache writes taken out and its attention replaced, and nothing else', () => {
    expect(layerNodes(0).map(show)).toEqual(['NONE', 'NONE', 'CUSTOM']);
    expect(show(writing('another_table'))).toBe('SET_ROWS');
    expect(attention.takeError()).toBeUndefined();
  });

  test('has its norms replaced, with the sums before and the weights behind them', () => {
    const sum = add(context, tensor(F32, 64, ROWS), tensor(F32, 64, ROWS));
    const norm = rmsNorm(context, sum, 1e-5);
    const nodes = [sum, norm, multiply(context, norm, tensor(F32, 64, 1))];
    nodes.forEach(show);
    expect(nodes.map((node) => kindOf(node))).toEqual(['NONE', 'NONE', 'CUSTOM']);
    const alone = rmsNorm(context, tensor(F32, 64, ROWS), 1e-5);
    expect([alone, add(context, alone, alone)].map(show)).toEqual(['RMS_NORM', 'ADD']);
    expect(attention.takeError()).toBeUndefined();
  });

  test.each([
    ['ALiBi', () => attending(0, { bias: 8 })],
    ['a soft-cap on logits', () => attending(0, { cap: 50 })],
    ['attention sinks', () => withSinks(attending(0))],
  ])('may have %s', (_, make) => {
    expect(layerNodes(0, make()).map(show)).toEqual(['NONE', 'NONE', 'CUSTOM']);
    expect(attention.takeError()).toBeUndefined();
  });

  test('is accepted again with its replaced nodes in the next step, but not twice in one', () => {
    const nodes = layerNodes(1);
    nodes.map(show);
    const rows = Int32Array.of(3, 4, 5);
    attention.beginStep(ROWS, rows, rows, Int32Array.of(0, 0, 0), Int32Array.of(0));
    expect(nodes.map(show)).toEqual(['NONE', 'NONE', 'CUSTOM']);
    expect(attention.takeError()).toBeUndefined();
    nodes.map(show);
    expect(attention.takeError()).toMatch(/more than one graph/);
  });
});

describe('what the pages cannot do is left alone and told', () => {
  test.each([
    ['another head size', () => attending(0, { headSize: 128 }), /head size/],
    ['a layer without pages', () => attending(2), /no layer that has pages/],
    ['attention before its keys and values', () => attending(0), /before its keys and values/],
  ])('%s', (_, make, message) => {
    expect(show(make())).toBe('FLASH_ATTN_EXT');
    expect(attention.takeError()).toMatch(message);
    expect(attention.takeError()).toBeUndefined();
  });

  test.each([
    ['rows of another width', () => writing('cache_k_l0', { width: 192 }), /192 values/],
    ['a cache that llama.cpp reshaped', () => writing('cache_v_l0 (reshaped)'), /unified cache/],
  ])('%s', (_, make, message) => {
    expect(show(make())).toBe('SET_ROWS');
    expect(attention.takeError()).toMatch(message);
  });

  test('a graph with other rows than the step', () => {
    show(writing('cache_k_l0', { rows: 2 }));
    expect(attention.takeError()).toMatch(/2 rows at once and the step has 3.*n_ubatch/);
  });

  test('only the first reason is told', () => {
    show(attending(0, { headSize: 128 }));
    show(attending(2));
    expect(attention.takeError()).toMatch(/head size/);
    expect(attention.takeError()).toBeUndefined();
  });

  test('and forgotten when the next step begins', () => {
    show(attending(0, { headSize: 128 }));
    attention.beginStep(1, Int32Array.of(0), Int32Array.of(0), Int32Array.of(0), Int32Array.of(0));
    expect(attention.takeError()).toBeUndefined();
  });
});

describe('page memory', () => {
  test('tells its size and instruction set', () => {
    expect(attention.bytes).toBe(PAGES * pageBytes(shape));
    expect(attention.level).toMatch(/^(avx512|avx2|neon|portable)$/);
  });

  test.each([
    ['a slot outside the pages', [0], [PAGES * 16], [0], [0], /slot/],
    ['a page that does not exist', [0], [0], [0], [PAGES], /names a page/],
    ['a table that ends too early', [16], [16], [0], [0], /shorter/],
    ['a table offset outside the tables', [0], [0], [1], [0], /shorter/],
    ['a negative position', [-1], [0], [0], [0], /negative/],
    ['no rows', [], [], [], [0], /at least one row/],
  ])('refuses a step with %s', (_, positions, slots, offsets, tables, message) => {
    const begin = () => {
      const [a, b, c, d] = [positions, slots, offsets, tables].map((array) => Int32Array.from(array));
      attention.beginStep(positions.length, a!, b!, c!, d!);
    };
    expect(begin).toThrow(AttentionError);
    expect(begin).toThrow(message);
  });

  test('refuses more rows than its arrays hold', () => {
    const one = Int32Array.of(0);
    expect(() => attention.beginStep(2, one, one, one, one)).toThrow(/2 rows has arrays of length 1/);
  });

  test('refuses to copy a page that does not exist', () => {
    expect(() => attention.copyPage(0, PAGES)).toThrow(/no such page/);
    expect(() => attention.copyPage(-1, 0)).toThrow(/no such page/);
  });

  test('refuses a head size it has no code for', () => {
    const options = { shape: { ...shape, headSize: 72 }, pages: 1, kernel, ggmlBaseLibrary: ggmlBase };
    expect(() => new PagedAttention(options)).toThrow(/size 72/);
  });

  test('refuses more pages than addresses', () => {
    const options = {
      shape: { ...shape, layers: 1000, kvHeads: 1e6 },
      pages: 2 ** 31 - 1,
      kernel,
      ggmlBaseLibrary: ggmlBase,
    };
    expect(() => new PagedAttention(options)).toThrow(/refuses the memory/);
  });

  test('refuses an instruction set that the machine does not have', () => {
    const level = 'sse9' as 'avx512';
    const options = { shape, pages: 1, kernel, ggmlBaseLibrary: ggmlBase, level };
    expect(() => new PagedAttention(options)).toThrow(/cannot run the attention kernel "sse9"/);
  });

  test('cannot be used after dispose, which may be called twice', () => {
    const other = new PagedAttention({ shape, pages: 1, kernel, ggmlBaseLibrary: ggmlBase, level: 'portable' });
    other.dispose();
    other.dispose();
    expect(() => other.copyPage(0, 0)).toThrow(/disposed/);
  });
});
