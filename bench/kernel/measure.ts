import { dirname } from 'node:path';
import { buildKernel, PAGE_TYPES, type PageType } from '../../src/attention/index.js';
import { cCompilers, nativeSources, runNative, withCompiled } from '../../test/support/compile-c.js';
import { median } from '../statistics.js';
import type { KernelCase } from './cases.js';

/** The machine's best with this many threads; what its CPU has no instructions for is absent. */
export interface Peaks {
  threads: number;
  /** 10^9 products and sums per second. */
  f32_gmacs?: number;
  bf16_gmacs?: number;
  int16_gmacs?: number;
  int8_gmacs?: number;
  /** 10^9 bytes per second, from memory and from the second-level cache. */
  read_gbs: number;
  l2_read_gbs: number;
}

/** A measured case. */
export interface KernelResult extends KernelCase {
  /** Of one layer. */
  seconds: number;
  /** Useful operations: 4 · head size for each query head and position that a row sees. */
  gflops: number;
  /** Bytes of the pages that are read at least once, per second. */
  gbs: number;
  /** Operations per such byte. */
  intensity: number;
}

/** One layer of a case. */
export interface CaseTime {
  seconds: number;
  flops: number;
  bytes: number;
}

/** The benchmark in native/bench/. */
export interface KernelBench {
  /** Instruction sets, the fastest first. */
  levels: string[];
  peaks(threads: number): Promise<Peaks>;
  attend(test: KernelCase): Promise<CaseTime>;
}

/** Compiles native/bench/ against the library that the engine loads. */
export async function withKernelBench<T>(use: (bench: KernelBench) => Promise<T>): Promise<T> {
  const library = (await buildKernel()).path;
  const [compiler] = await cCompilers();
  const run = async (path: string) => {
    const levels = (await runNative(path, ['levels'])).trim().split('\n');
    return use({
      levels,
      peaks: async (threads) => JSON.parse(await runNative(path, ['peaks', `threads=${threads}`])),
      attend: async (test) => JSON.parse(await runNative(path, ['attend', ...argumentsOf(test)])),
    });
  };
  const linked = [library, `-Wl,-rpath,${dirname(library)}`];
  // The peaks are those of this very CPU.
  const flags = ['-O3', process.arch === 'arm64' ? '-mcpu=native' : '-march=native'];
  return withCompiled(compiler!, nativeSources('bench'), flags, run, linked);
}

function argumentsOf({ workload, pageType, level, threads, kvHeads, group, headSize }: KernelCase): string[] {
  const { sequences, rows, positions, shared } = workload;
  const values = {
    level,
    page_type: PAGE_TYPES[pageType],
    kv_heads: kvHeads,
    group,
    head_size: headSize,
    sequences,
    rows,
    positions,
    shared,
    threads,
  };
  return Object.entries(values).map(([name, value]) => `${name}=${value}`);
}

/** The best of repeated measurements: a peak that others disturb is none. */
export function bestPeaks(rounds: readonly Peaks[]): Peaks {
  const best: Peaks = { ...rounds[0]! };
  for (const round of rounds) {
    for (const [name, value] of Object.entries(round))
      best[name as keyof Peaks] = Math.max(best[name as keyof Peaks]!, value);
  }
  return best;
}

/** A case's rounds as one result, by the median of their times. */
export function resultOf(test: KernelCase, rounds: readonly CaseTime[]): KernelResult {
  const { flops, bytes } = rounds[0]!;
  const seconds = median(rounds.map((round) => round.seconds));
  return { ...test, seconds, gflops: flops / seconds / 1e9, gbs: bytes / seconds / 1e9, intensity: flops / bytes };
}

/** The arithmetic that attention to pages of this type consists of, in GMAC/s: 16-bit integers, or floats. */
export function attentionPeak(pageType: PageType, { f32_gmacs, int16_gmacs }: Peaks): number {
  return (pageType === 'i16' ? (int16_gmacs ?? f32_gmacs) : f32_gmacs) ?? Number.POSITIVE_INFINITY;
}

/** The most GFLOP/s that arithmetic and memory allow: the roof over a result (Williams et al. 2009). */
export function roofOver({ pageType, intensity }: Pick<KernelResult, 'pageType' | 'intensity'>, peaks: Peaks): number {
  return Math.min(2 * attentionPeak(pageType, peaks), intensity * peaks.read_gbs);
}
