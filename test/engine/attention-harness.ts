/** One layer of attention over one sequence: drawn at random, computed by the kernel and in doubles. */
import { promisify } from 'node:util';
import koffi from 'koffi';
import { createRandom, type Random } from '../../bench/random.js';
import { buildKernel, PAGE_TOKENS, PAGE_TYPES, type PageType } from '../../src/attention/index.js';
import { errorBuffer, errorText, loadKernelLibrary, type OpCodes } from '../../src/attention/kernel-library.js';
import { cCompilers, nativeSources, withCompiled } from '../support/compile-c.js';

const kernelPath = (await buildKernel()).path;
const library = loadKernelLibrary(kernelPath);

/** What this machine can run, the fastest first. */
export const LEVELS = range(16).flatMap((index) => library.level(index) ?? []);

/** What is asked of attention besides plain softmax(q k) v. */
export interface Extras {
  /** Positions that a row sees, its own included. */
  window?: number;
  softcap?: number;
  maxBias?: number;
  sinks?: boolean;
}

/** Rows at the end of a sequence, which attend to all of it. */
export interface Problem {
  kvHeads: number;
  heads: number;
  headSize: number;
  pageType: PageType;
  positions: number;
  /** The last positions; there is a query for each. */
  rows: number;
  /** 0: all positions are seen. */
  window: number;
  scale: number;
  softcap: number;
  maxBias: number;
  /** [heads] */
  sinks?: Float32Array;
  /** [heads][rows][headSize] */
  queries: Float32Array;
  /** [positions][kvHeads][headSize] */
  keys: Float32Array;
  values: Float32Array;
}

/** Least and greatest number of rows and of positions. */
export interface Size {
  rows: readonly [number, number];
  positions: readonly [number, number];
}

/** A problem of random shape and data. */
export function drawProblem(seed: string, size: Size, pageType: PageType, extras: Extras): Problem {
  const random = createRandom(seed);
  const kvHeads = random.integer(1, 4);
  const heads = kvHeads * random.integer(1, 5);
  const headSize = [32, 64, 96, 128, 256][random.integer(0, 5)]!;
  const rows = random.integer(size.rows[0], size.rows[1] + 1);
  const positions = random.integer(Math.max(rows, size.positions[0]), size.positions[1] + 1);
  return {
    kvHeads,
    heads,
    headSize,
    pageType,
    positions,
    rows,
    window: extras.window ?? 0,
    scale: Math.fround(1 / Math.sqrt(headSize)),
    softcap: extras.softcap ?? 0,
    maxBias: extras.maxBias ?? 0,
    ...(extras.sinks ? { sinks: vector(heads, 4, random) } : {}),
    queries: vector(heads * rows * headSize, 3, random),
    keys: vector(positions * kvHeads * headSize, 1, random),
    values: vector(positions * kvHeads * headSize, 2, random),
  };
}

function vector(length: number, scale: number, random: Random): Float32Array {
  return Float32Array.from({ length }, () => (random.uniform() * 2 - 1) * scale);
}

const QUERIES = koffi.struct('quire_queries', {
  query: 'void *',
  query_row_stride: 'size_t',
  query_head_stride: 'size_t',
  output: 'void *',
  output_row_stride: 'size_t',
  output_head_stride: 'size_t',
  heads: 'int32_t',
  scale: 'float',
  softcap: 'float',
  max_bias: 'float',
  sinks: 'void *',
});

const raw = koffi.load(kernelPath);
const writeRows = raw.func(
  'void quire_write_rows(void *handle, int32_t layer, int32_t values, void *source, size_t row_stride, ' +
    'int32_t thread, int32_t threads)',
);
const attend = promisify(
  raw.func('quire_attend', 'void', ['void *', 'int32_t', koffi.pointer(QUERIES), 'int32_t']).async,
);

/** No graph will have them. */
const CODES: OpCodes = {
  ...{ set_rows: 1, flash_attention: 2, custom: 3, add: 4, multiply: 5, rms_norm: 6 },
  ...{ rope: 7, view: 8, reshape: 9, permute: 10, transpose: 11 },
};

/** Computes a problem with the kernel, on pages from the last to the first. @returns [rows][heads][headSize] */
export async function runKernel(problem: Problem, level: string, threads: number): Promise<Float32Array> {
  const { kvHeads, heads, headSize, positions, rows, window } = problem;
  const pages = Math.ceil(positions / PAGE_TOKENS);
  const shape = {
    layers: 1,
    kv_heads: kvHeads,
    head_size: headSize,
    pages,
    page_type: PAGE_TYPES[problem.pageType],
    window,
    windowed: window > 0 ? Uint8Array.of(1) : null,
    threads: 0,
  };
  const error = errorBuffer();
  const handle = library.open(shape, level, CODES, error);
  if (handle === null) throw new Error(errorText(error));

  const table = Int32Array.from({ length: pages }, (_, i) => pages - 1 - i);
  const begin = (from: number) => {
    const own = Int32Array.from({ length: positions - from }, (_, i) => from + i);
    const slots = own.map((p) => table[Math.floor(p / PAGE_TOKENS)]! * PAGE_TOKENS + (p % PAGE_TOKENS));
    const offsets = new Int32Array(own.length);
    if (library.beginStep(handle, own.length, own, slots, offsets, table, pages, error) !== 0) {
      throw new Error(errorText(error));
    }
  };
  begin(0);
  for (const [kind, source] of [problem.keys, problem.values].entries()) {
    writeRows(handle, 0, kind, source, kvHeads * headSize * 4, 0, 1);
  }
  begin(positions - rows);
  const output = new Float32Array(rows * heads * headSize).fill(Number.NaN);
  const { queries, sinks } = problem;
  const argument = {
    query: koffi.address(queries),
    query_row_stride: headSize * 4,
    query_head_stride: rows * headSize * 4,
    output: koffi.address(output),
    output_row_stride: heads * headSize * 4,
    output_head_stride: headSize * 4,
    heads,
    scale: problem.scale,
    softcap: problem.softcap,
    max_bias: problem.maxBias,
    sinks: sinks === undefined ? null : koffi.address(sinks),
  };
  await Promise.all(range(threads).map((thread) => attend(handle, 0, argument, thread)));
  library.close(handle);
  return output;
}

const REFERENCE_HEAD = koffi.struct('reference_head', {
  head_size: 'int32_t',
  first: 'int32_t',
  last: 'int32_t',
  query: 'void *',
  keys: 'void *',
  values: 'void *',
  stride: 'size_t',
  scale: 'float',
  softcap: 'float',
  slope: 'float',
  sink: 'void *',
  shorts: 'bool',
});

const { attention, slope } = await loadReference();

/** native/test/reference.c, compiled. */
async function loadReference() {
  const [compiler] = await cCompilers();
  const sources = nativeSources('test').filter((path) => path.endsWith('reference.c'));
  return withCompiled(compiler!, sources, ['-O2', '-shared', '-fPIC'], (path) => {
    const reference = koffi.load(path);
    return {
      attention: reference.func('reference_attention', 'int32_t', [koffi.pointer(REFERENCE_HEAD), 'void *', 'void *']),
      slope: reference.func('float reference_slope(int32_t head, int32_t heads, float max_bias)'),
    };
  });
}

/** Computes a problem in doubles. @param keys as they are stored, like those of the problem */
export function runReference(problem: Problem, keys: Float32Array, values: Float32Array): Float64Array {
  const { kvHeads, heads, headSize, positions, rows, window } = problem;
  const output = new Float64Array(rows * heads * headSize);
  const bound = new Float64Array(headSize);
  for (const row of range(rows)) {
    const last = positions - rows + row;
    for (const head of range(heads)) {
      const kv = Math.floor(head / (heads / kvHeads)) * headSize;
      const argument = {
        head_size: headSize,
        first: window > 0 ? Math.max(0, last - window + 1) : 0,
        last,
        query: koffi.address(problem.queries.subarray((head * rows + row) * headSize)),
        keys: koffi.address(keys.subarray(kv)),
        values: koffi.address(values.subarray(kv)),
        stride: kvHeads * headSize,
        scale: problem.scale,
        softcap: problem.softcap,
        slope: slope(head, heads, problem.maxBias),
        sink: problem.sinks === undefined ? null : koffi.address(problem.sinks.subarray(head)),
        shorts: false,
      };
      const at = (row * heads + head) * headSize;
      if (attention(argument, output.subarray(at, at + headSize), bound) !== 0) throw new Error('no memory');
    }
  }
  return output;
}

export function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}
