import type { Table } from '../report/rows.js';
import type { StepProgress } from '../step-progress.js';

export interface PartOptions {
  modelPath: string;
  modelName: string;
  threads: number;
  /** Interleaved repetitions. */
  rounds: number;
  onProgress: StepProgress;
}

/** One question about the engine. What it finds goes to the terminal, to a JSON file and to docs/benchmarks.md. */
export interface Part {
  /** For `--only`, file names and the markers in the document. */
  id: string;
  title: string;
  /** Whether its figures depend on the model. */
  usesModel: boolean;
  run(options: PartOptions): Promise<PartResult>;
}

export interface PartResult {
  /** Everything measured, as plain data. */
  figures: unknown;
  tables: Table[];
  pictures: { id: string; title: string; svg: string }[];
  /** What a reader of the tables has to know that differs from run to run. */
  notes: string[];
}
