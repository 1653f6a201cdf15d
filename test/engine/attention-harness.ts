/** Runs the kernel on plain arrays, through the functions that llama.cpp's graph calls as well. */
import { promisify } from 'node:util';
import koffi from 'koffi';
import { buildKernel, PAGE_TOKENS } from '../../src/attention/index.js';
import { errorBuffer, errorText, loadKernelLibrary } from '../../src/attention/kernel-library.js';

const kernelPath = (await buildKernel()).path;

/** What this machine can run. */
export const LEVELS = [...new Set([loadKernelLibrary(kernelPath).bestLevel(), 'portable'])];

export interface Heads {
  kvHeads: number;
  /** Query heads per KV head. */
  group: number;
  headSize: number;
}

/** Queries, keys and values of a sequence, one row per position, and the pages that hold it. */
export interface Sequence {
  queries: Float32Array[];
  keys: Float32Array[];
  values: Float32Array[];
  table: number[];
}

/** One row of a step. */
export interface Row {
  sequence: Sequence;
  position: number;
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
});

export type Random = () => number;

/** Uniform numbers in [0, 1): mulberry32. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function vector(length: number, scale: number, next: Random): Float32Array {
  return Float32Array.from({ length }, () => (next() * 2 - 1) * scale);
}

/** A sequence of random rows without pages; its first `shared` rows are those of `prefix`. */
export function randomSequence(heads: Heads, length: number, next: Random, prefix?: Sequence, shared = 0): Sequence {
  const { kvHeads, group, headSize } = heads;
  const rows = (kind: 'queries' | 'keys' | 'values', width: number, scale: number) =>
    Array.from({ length }, (_, i) => (prefix && i < shared ? prefix[kind][i]! : vector(width, scale, next)));
  return {
    queries: rows('queries', kvHeads * group * headSize, 3),
    keys: rows('keys', kvHeads * headSize, 1),
    values: rows('values', kvHeads * headSize, 2),
    table: [],
  };
}

export function scaleOf(heads: Heads): number {
  return Math.fround(1 / Math.sqrt(heads.headSize));
}

/** Page memory of one layer with the two operations of a step. */
export class Kernel {
  private readonly heads: Heads;
  private readonly pages: number;
  private readonly library;
  private readonly handle: bigint;
  private readonly writeRows;
  private readonly attend;

  constructor(heads: Heads, pages: number, level: string) {
    this.heads = heads;
    this.pages = pages;
    this.library = loadKernelLibrary(kernelPath);
    const raw = koffi.load(kernelPath);
    this.writeRows = raw.func(
      'void quire_write_rows(void *handle, int32_t layer, int32_t values, void *source, size_t row_stride, ' +
        'int32_t thread, int32_t threads)',
    );
    this.attend = raw.func('quire_attend', 'void', ['void *', 'int32_t', koffi.pointer(QUERIES), 'int32_t']);
    const codes = { set_rows: 1, flash_attention: 2, custom: 3 };
    const error = errorBuffer();
    const handle = this.library.open(1, heads.kvHeads, heads.headSize, pages, level, codes, error);
    if (handle === null) throw new Error(errorText(error));
    this.handle = handle;
  }

  /** Fills every slot with values that spoil whatever they touch: what a row does not see must not reach it. */
  async poison(): Promise<void> {
    const slots = Array.from({ length: this.pages * PAGE_TOKENS }, (_, i) => i);
    const row = new Float32Array(this.heads.kvHeads * this.heads.headSize).fill(Number.NaN);
    const rows = slots.map(() => row);
    this.begin(
      slots,
      slots,
      slots.map(() => 0),
      slots.map((slot) => Math.floor(slot / PAGE_TOKENS)),
    );
    await this.write(rows, rows, 1);
  }

  /** One step on `threads` native threads. @returns the output of each row, [head][d] */
  async step(rows: Row[], threads = 1): Promise<Float32Array[]> {
    const { kvHeads, group, headSize } = this.heads;
    const width = kvHeads * group * headSize;
    const offsets = new Map<Sequence, number>();
    const tables: number[] = [];
    for (const { sequence } of rows) {
      if (offsets.has(sequence)) continue;
      offsets.set(sequence, tables.length);
      tables.push(...sequence.table);
    }
    this.begin(
      rows.map(({ position }) => position),
      rows.map(({ sequence, position }) => {
        return sequence.table[Math.floor(position / PAGE_TOKENS)]! * PAGE_TOKENS + (position % PAGE_TOKENS);
      }),
      rows.map(({ sequence }) => offsets.get(sequence)!),
      tables,
    );
    await this.write(
      rows.map(({ sequence, position }) => sequence.keys[position]!),
      rows.map(({ sequence, position }) => sequence.values[position]!),
      threads,
    );

    const query = concatenate(rows.map(({ sequence, position }) => sequence.queries[position]!));
    const output = new Float32Array(rows.length * width).fill(Number.NaN);
    const queries = {
      query: koffi.address(query),
      query_row_stride: width * 4,
      query_head_stride: headSize * 4,
      output: koffi.address(output),
      output_row_stride: width * 4,
      output_head_stride: headSize * 4,
      heads: kvHeads * group,
      scale: scaleOf(this.heads),
    };
    const attend = promisify(this.attend.async);
    await onThreads(threads, (thread) => attend(this.handle, 0, queries, thread), [query, output]);
    return rows.map((_, i) => output.subarray(i * width, (i + 1) * width));
  }

  copyPage(source: number, target: number): void {
    this.library.copyPage(this.handle, source, target);
  }

  dispose(): void {
    this.library.close(this.handle);
  }

  private begin(positions: number[], slots: number[], offsets: number[], tables: number[]): void {
    const error = errorBuffer();
    const status = this.library.beginStep(
      this.handle,
      positions.length,
      Int32Array.from(positions),
      Int32Array.from(slots),
      Int32Array.from(offsets),
      Int32Array.from(tables),
      tables.length,
      error,
    );
    if (status !== 0) throw new Error(errorText(error));
  }

  private async write(keys: Float32Array[], values: Float32Array[], threads: number): Promise<void> {
    const stride = this.heads.kvHeads * this.heads.headSize * 4;
    const write = promisify(this.writeRows.async);
    for (const [kind, rows] of [keys, values].entries()) {
      const source = concatenate(rows);
      const address = koffi.address(source);
      const call = (thread: number) => write(this.handle, 0, kind, address, stride, thread, threads);
      await onThreads(threads, call, [source]);
    }
  }
}

/** Makes native calls at the same time. @returns `alive`, the arrays whose addresses they got, which so outlive them */
async function onThreads<T>(threads: number, call: (thread: number) => Promise<unknown>, alive: T): Promise<T> {
  await Promise.all(range(threads).map(call));
  return alive;
}

function concatenate(rows: Float32Array[]): Float32Array {
  const width = rows[0]!.length;
  const all = new Float32Array(rows.length * width);
  for (const [i, row] of rows.entries()) all.set(row, i * width);
  return all;
}

export function range(length: number): number[] {
  return Array.from({ length }, (_, i) => i);
}

/** Hands out pages in random order. */
export class PagePool {
  private readonly free: number[];

  constructor(pages: number, next: Random) {
    this.free = range(pages);
    for (let i = pages - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [this.free[i], this.free[j]] = [this.free[j]!, this.free[i]!];
    }
  }

  take(): number {
    const page = this.free.pop();
    if (page === undefined) throw new Error('the pool of the test is too small');
    return page;
  }

  /** Gives a sequence pages for all of its rows, after those it has. */
  place(sequence: Sequence): void {
    while (sequence.table.length * PAGE_TOKENS < sequence.keys.length) sequence.table.push(this.take());
  }
}
