import { bestPeaks, type Peaks, withKernelBench } from '../kernel/measure.js';
import { formatNumber } from '../report/format.js';
import type { StepProgress } from '../step-progress.js';

export type { Peaks } from '../kernel/measure.js';

/** A peak that others disturb is none: the best of some attempts. */
const ATTEMPTS = 3;

/** What the machine can do at best on this many threads. @throws Error without a C compiler */
export function measurePeaks(threads: number, onProgress: StepProgress): Promise<Peaks> {
  return withKernelBench(async (bench) => {
    const attempts: Peaks[] = [];
    while (attempts.length < ATTEMPTS) {
      onProgress('measuring the machine', attempts.length / ATTEMPTS);
      attempts.push(await bench.peaks(threads));
    }
    onProgress('measuring the machine', 1);
    return bestPeaks(attempts);
  });
}

/** What bounds matrix products: dot products of 8-bit integers, where the CPU has instructions for them. */
export function productPeak({ int8_gmacs, f32_gmacs }: Peaks): { kind: string; gmacs: number } {
  return int8_gmacs === undefined ? { kind: 'f32', gmacs: f32_gmacs! } : { kind: 'int8', gmacs: int8_gmacs };
}

export function describePeaks({ f32_gmacs, bf16_gmacs, int16_gmacs, int8_gmacs, read_gbs, threads }: Peaks): string {
  const rate = (what: string, gmacs?: number) => (gmacs === undefined ? [] : [`${what} ${formatNumber(gmacs)} GMAC/s`]);
  const rates = [
    ...rate('int8 dot products', int8_gmacs),
    ...rate('int16 dot products', int16_gmacs),
    ...rate('BF16 dot products', bf16_gmacs),
    ...rate('f32', f32_gmacs),
    `reading memory ${formatNumber(read_gbs)} GB/s`,
  ];
  return `The machine’s peaks, measured on ${threads} threads: ${rates.join(', ')}.`;
}
