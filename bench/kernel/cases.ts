import type { PageType } from '../../src/attention/index.js';

/** Sequences of one step, all alike. */
export interface Workload {
  name: string;
  sequences: number;
  /** Of each sequence: its last positions. */
  rows: number;
  /** Of each sequence. */
  positions: number;
  /** Positions at the beginning that all sequences have in the same pages. */
  shared: number;
}

/** Heads of one layer of a model. */
export interface HeadShape {
  kvHeads: number;
  /** Query heads to a KV head. */
  group: number;
  headSize: number;
}

/** What is measured once: one layer's attention in one step. */
export interface KernelCase extends HeadShape {
  workload: Workload;
  pageType: PageType;
  /** Instruction set. */
  level: string;
  threads: number;
}

const decode = (sequences: number, positions: number, shared = 0) => ({ sequences, rows: 1, positions, shared });
const prefill = (context: number) => ({ sequences: 1, rows: 512, positions: context + 512, shared: 0 });

export const WORKLOADS: readonly Workload[] = [
  { name: 'decode 1 × 512', ...decode(1, 512) },
  { name: 'decode 1 × 4,096', ...decode(1, 4_096) },
  { name: 'decode 1 × 16,384', ...decode(1, 16_384) },
  { name: 'decode 32 × 512', ...decode(32, 512) },
  { name: 'decode 32 × 2,048', ...decode(32, 2_048) },
  { name: 'decode 32 sharing 2,000', ...decode(32, 2_050, 2_000) },
  { name: 'prefill 512', ...prefill(0) },
  { name: 'prefill 512 after 4,096', ...prefill(4_096) },
];

/** SmolLM2-135M's. */
export const BASE_SHAPE: HeadShape = { kvHeads: 3, group: 3, headSize: 64 };

export const MEASURED_TYPES: readonly PageType[] = ['i16', 'f16', 'q8_0'];

/** Shapes that models have, on one workload that memory bounds and on one that arithmetic does. */
const SHAPE_WORKLOADS = WORKLOADS.filter(
  ({ name }) => name === 'decode 32 × 512' || name === 'prefill 512 after 4,096',
);
export const GROUPS = [1, 3, 7] as const;
export const HEAD_SIZES = [64, 128, 256] as const;

/** All workloads on the base shape, by every page type, level and thread count. */
export function workloadCases(levels: readonly string[], threadCounts: readonly number[]): KernelCase[] {
  return WORKLOADS.flatMap((workload) =>
    MEASURED_TYPES.flatMap((pageType) =>
      levels.flatMap((level) => threadCounts.map((threads) => ({ workload, pageType, level, threads, ...BASE_SHAPE }))),
    ),
  );
}

/** Group and head sizes, each with two KV heads. */
export function shapeCases(level: string, threads: number): KernelCase[] {
  return SHAPE_WORKLOADS.flatMap((workload) =>
    GROUPS.flatMap((group) =>
      HEAD_SIZES.map((headSize) => ({ workload, pageType: 'i16', level, threads, kvHeads: 2, group, headSize })),
    ),
  );
}
