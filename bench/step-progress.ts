import { createProgressBar } from '../src/cli/progress.js';

/** Told how far a long step is: what is done, and a fraction from 0 to 1. */
export type StepProgress = (label: string, fraction: number) => void;

/** Runs `work` with its progress shown on standard error; standard output stays a clean table. */
export async function withProgress<T>(work: (onProgress: StepProgress) => Promise<T>): Promise<T> {
  const bar = createProgressBar();
  try {
    return await work((label, done) => bar.update({ label, done, total: 1, unit: 'fraction' }));
  } finally {
    bar.end();
  }
}
