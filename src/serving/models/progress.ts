/** How far fetching or preparing a model is. */
export interface ResolveProgress {
  phase: 'download' | 'verify' | 'requantize';
  /** What is worked on: a file's or a package's name. */
  name: string;
  /** Bytes; `total` is 0 while unknown. */
  done: number;
  total: number;
}

export type OnProgress = (progress: ResolveProgress) => void;
