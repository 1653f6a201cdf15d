/** What a step computes, in the quantities that its time depends on. */
export interface StepWork {
  /** Tokens computed. */
  rows: number;
  /** Rows whose logits are wanted. */
  outputs: number;
  /** Query–key pairs of chunks of several rows: attention computes those as tiles. */
  tiledPairs: number;
  /** Query–key pairs of rows that stand alone, as decodes do. */
  lonePairs: number;
}

/** Counts a chunk of `count` rows behind `start` positions. */
export function addChunk(work: StepWork, start: number, count: number, samples: boolean): void {
  work.rows += count;
  if (samples) work.outputs++;
  if (count === 1) work.lonePairs += start + 1;
  else work.tiledPairs += count * start + (count * (count + 1)) / 2;
}

/** Places of a quantity and its cost; the last cost is that of a step as such. */
const ROWS = 0;
const TILED_PAIRS = 2;

/**
 * What each quantity costs compared to a row: a first guess, from a model of 135M parameters on two cores. Measurements
 * overrule it wherever they say something.
 */
const TYPICAL_COSTS = [1, 0.4, 0.0004, 0.002, 4];
const COUNT = TYPICAL_COSTS.length;

/** How much the first guess of a cost weighs, in measurements of a step that consists of that cost alone. */
const GUESS_WEIGHT = 0.005;

/** What a measurement weighs after the next one of its kind. */
const FORGETTING = 0.98;

/** Share of an error that is taken for a change of the machine's speed. */
const SPEED_SHARE = 0.25;

/** Errors larger than this many usual ones are cut. */
const OUTLIER = 3;

/** Coordinate descent starts from the last fit, and has come to rest after these. */
const SWEEPS = 30;

/** Weighted normal equations: `matrix · costs = vector`. */
interface NormalEquations {
  matrix: Float64Array;
  vector: Float64Array;
}

/**
 * Learns how long steps take: `ms ≈ slowness · (a + b · rows + c · outputs + d · tiled pairs + e · lone pairs)`.
 *
 * The costs a … e are a least-squares fit of relative errors, never negative, over measurements that fade out. Steps
 * with and without prompts fade out separately, so that an hour of decoding does not wipe out what prompts cost.
 * `slowness` follows within a few steps when something else takes the machine's cores, or leaves them. A single step
 * that took long because the process was not running is an outlier, and moves neither by much.
 */
export class StepTimeModel {
  /** In units of {@link TYPICAL_COSTS}: all the same where the first guess is right. Zeros before any measurement. */
  private readonly costs = new Float64Array(COUNT);
  private readonly withoutPrompts = emptyEquations();
  private readonly withPrompts = emptyEquations();
  private slowness = 1;
  /** Mean relative error. */
  private usualError = 1;

  observe(work: StepWork, ms: number): void {
    if (!(ms > 0)) return;
    const quantities = quantitiesOf(work);
    const isFirst = this.costs[ROWS] === 0;
    if (isFirst) this.costs.fill(ms / (this.slowness * sum(quantities)));
    const fitted = dot(quantities, this.costs);
    const reach = OUTLIER * this.usualError;
    const error = clamp(ms / (this.slowness * fitted) - 1, -reach, reach);
    if (!isFirst) this.usualError += (1 - FORGETTING) * (Math.min(Math.abs(error), 1) - this.usualError);
    this.slowness *= clamp(1 + SPEED_SHARE * error, 0.5, 2);
    include(work.rows > work.outputs ? this.withPrompts : this.withoutPrompts, quantities, fitted, 1 + error);
    this.fit();
  }

  /** Expected duration of a step in ms; 0 as long as nothing was measured. */
  predict(work: StepWork): number {
    return this.slowness * dot(quantitiesOf(work), this.costs);
  }

  /** What a chunk of `count` rows behind `start` positions adds to a step, in ms. */
  chunkMs(start: number, count: number): number {
    const { row, pair } = this.chunkCosts();
    return count * (row + pair * (start + (count + 1) / 2));
  }

  /** The most rows behind `start` positions that add at most `ms` to a step; Infinity before any measurement. */
  largestChunk(start: number, ms: number): number {
    if (ms <= 0) return 0;
    // The positive root of chunkMs(start, count) = ms, in a form that also holds when pairs cost nothing.
    const { row, pair } = this.chunkCosts();
    const linear = row + pair * (start + 0.5);
    const count = (2 * ms) / (linear + Math.sqrt(linear * linear + 2 * pair * ms));
    return Math.floor(count * (1 + Number.EPSILON * 8));
  }

  private chunkCosts(): { row: number; pair: number } {
    const { costs, slowness } = this;
    return {
      row: slowness * costs[ROWS] * TYPICAL_COSTS[ROWS],
      pair: slowness * costs[TILED_PAIRS] * TYPICAL_COSTS[TILED_PAIRS],
    };
  }

  /** Solves both normal equations together by coordinate descent, in which it is easy to stay above 0. */
  private fit(): void {
    const { costs, withPrompts, withoutPrompts } = this;
    const rowCost = costs[ROWS];
    const guessWeight = GUESS_WEIGHT / (rowCost * rowCost);
    for (let sweep = 0; sweep < SWEEPS; sweep++) {
      for (let i = 0; i < COUNT; i++) {
        let diagonal = guessWeight;
        let rest = guessWeight * rowCost;
        for (const { matrix, vector } of [withPrompts, withoutPrompts]) {
          diagonal += matrix[i * COUNT + i];
          rest += vector[i];
          for (let j = 0; j < COUNT; j++) if (j !== i) rest -= matrix[i * COUNT + j] * costs[j];
        }
        // A row always costs something: prompts are cut by it.
        costs[i] = Math.max(i === ROWS ? rowCost / 2 : 0, rest / diagonal);
      }
    }
  }
}

function emptyEquations(): NormalEquations {
  return { matrix: new Float64Array(COUNT * COUNT), vector: new Float64Array(COUNT) };
}

/** Adds the measurement `quantities · costs = fitted · ratio`, so weighted that relative errors count alike. */
function include({ matrix, vector }: NormalEquations, quantities: Float64Array, fitted: number, ratio: number): void {
  for (let i = 0; i < COUNT; i++) {
    const weighted = quantities[i] / fitted;
    vector[i] = FORGETTING * vector[i] + weighted * ratio;
    for (let j = 0; j < COUNT; j++) {
      const at = i * COUNT + j;
      matrix[at] = FORGETTING * matrix[at] + (weighted * quantities[j]) / fitted;
    }
  }
}

function quantitiesOf({ rows, outputs, tiledPairs, lonePairs }: StepWork): Float64Array {
  return Float64Array.of(rows, outputs, tiledPairs, lonePairs, 1).map((quantity, i) => quantity * TYPICAL_COSTS[i]);
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((total, value, i) => total + value * b[i], 0);
}

function sum(values: Float64Array): number {
  return values.reduce((total, value) => total + value, 0);
}

function clamp(value: number, low: number, high: number): number {
  return Math.min(high, Math.max(low, value));
}
