import type { AttentionLanes, PagedAttention, StepAttention } from '../attention/index.js';
import type { Llama, LlamaContext, LlamaModel } from '../llama/index.js';
import type { Chunk } from './executor.js';
import { MAX_SEQUENCES } from './protocol.js';
import { ROW_TILE } from './row-padding.js';
import { inOrderOfBlocks, MAX_ROW_PADDING } from './step-batch.js';

/** Contexts that compute large steps side by side, each a part of the rows on threads of its own. */
export interface Lanes {
  readonly lanes: readonly Lane[];
  readonly attention: Pick<AttentionLanes, 'compute'>;
  /** Most sequences of a lane, padding aside. */
  readonly maxSequences: number;
  /** Rows that a lane must have to be worth it. */
  readonly leastRows: number;
  /** Frees them, before the pages. */
  dispose(): void;
}

export interface Lane {
  context: LlamaContext;
  attention: StepAttention;
  /** A page that no block contains and no other lane has. */
  scratchPage: number;
}

export interface LanesOptions {
  llama: Llama;
  model: LlamaModel;
  attention: PagedAttention;
  /** Of all lanes together. */
  threads: number;
  /** Most rows of a step. */
  batchSize: number;
  /** Most sequences of a step, padding aside. */
  maxSequences: number;
  /** Pages that no block contains, one for each lane. */
  scratchPages: readonly number[];
}

/** More would each have little to do, and memory of their own. */
const MOST_LANES = 8;

/**
 * Rows that a lane must have to be worth it. Every lane reads all weights: with fewer rows, that takes longer than waiting
 * for each other does. On two cores, decodes of 16 rows a lane took 7 to 9 % less time than in one context with weights of 90 MB, 2 %
 * more with 145 MB and 6 % more with 350 MB; 32 rows a lane 3 % more with 145 MB, 64 rows 4 % less, and 32 rows 4 % less with
 * 350 MB.
 */
export function leastLaneRows(weightBytes: number): number {
  return weightBytes > SMALL_WEIGHTS ? 32 : 16;
}

const SMALL_WEIGHTS = 120e6;

/** What padding may add to a lane's rows and outputs, and what sharing steps out evenly may be off by. */
const SLACK = 64;

/** How many lanes so many threads make: as many as can have the same number of threads. 1: none. */
export function laneCount(threads: number): number {
  for (let count = Math.min(threads, MOST_LANES); count > 1; count--) if (threads % count === 0) return count;
  return 1;
}

/** Undefined with one thread, or where the system has no lanes. @throws LlamaError when there is no memory */
export function openLanes(options: LanesOptions): Lanes | undefined {
  const { llama, model, threads, batchSize, maxSequences, scratchPages } = options;
  const count = laneCount(threads);
  const attention = count === 1 ? undefined : options.attention.openLanes(count);
  if (attention === undefined) return undefined;
  const owned: { dispose(): void }[] = [attention];
  const dispose = () => {
    for (const resource of owned.splice(0).reverse()) resource.dispose();
  };
  const sequences = Math.min(Math.ceil(maxSequences / count) + SLACK, maxSequences);
  const withPadding = Math.min(sequences + MAX_ROW_PADDING, MAX_SEQUENCES + 1);
  try {
    const lanes = attention.lanes.map((lane, i) => {
      const threadPool = llama.createThreadPool(threads / count, { polling: 0 });
      owned.push(threadPool);
      const context = model.createContext({
        batchSize: Math.min(Math.ceil(batchSize / count) + SLACK, batchSize) + MAX_ROW_PADDING,
        maxSequences: withPadding,
        maxOutputs: withPadding,
        threads: threads / count,
        threadPool,
        evalCallback: lane.evalCallback,
        evalCallbackData: lane.evalCallbackData,
      });
      owned.push(context);
      return { context, attention: lane, scratchPage: scratchPages[i] };
    });
    return { lanes, attention, maxSequences: sequences, leastRows: leastLaneRows(model.weightBytes), dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** A part of the step's `index`-th chunk. */
export interface LanePart {
  index: number;
  chunk: Chunk;
}

/** What lanes have room for. */
export interface LaneLimits {
  lanes: number;
  /** Rows and sequences of a lane, padding aside. */
  rows: number;
  sequences: number;
  /** Lanes with fewer rows are not worth it. */
  leastRows: number;
}

/** What things cost compared to a row: an output, and a position that a row sees, in a chunk and alone. */
const OUTPUT_COST = 0.3;
const CHUNK_POSITION_COST = 0.00025;
const LONE_POSITION_COST = 0.001;

/** A lane may have so much more to do than the mean: lanes gain little more than that. */
const MOST_UNEVEN = 1.15;

/** Matrix products take rows by four. */
const TILE = 4;

/** Rows that a lane may have more or less than its share to have whole large tiles: what is left of one costs that much more. */
const NEAR = 3;

/**
 * Shares a step out among lanes so that they take equally long: decodes, of which neighbours stay together, as they may
 * share a prefix; then prompts, cut where a lane is full. Undefined where lanes have no room for it, or cannot have nearly
 * the same to do.
 */
export function shareOut(chunks: readonly Chunk[], limits: LaneLimits): LanePart[][] | undefined {
  const total = chunks.reduce((rows, { count }) => rows + count, 0);
  if (total < limits.lanes * limits.leastRows) return undefined;
  const order = inOrderOfBlocks(chunks);
  const share = new Shares(limits);
  share.decodes(
    chunks,
    order.filter((index) => chunks[index].count === 1),
  );
  share.prompts(
    chunks,
    order.filter((index) => chunks[index].count > 1),
  );
  return share.result();
}

class Shares {
  private readonly limits: LaneLimits;
  private readonly parts: LanePart[][];
  private readonly rows: number[];
  private readonly costs: number[];

  constructor(limits: LaneLimits) {
    this.limits = limits;
    this.parts = Array.from({ length: limits.lanes }, () => []);
    this.rows = new Array<number>(limits.lanes).fill(0);
    this.costs = new Array<number>(limits.lanes).fill(0);
  }

  decodes(chunks: readonly Chunk[], indices: readonly number[]): void {
    const { lanes } = this.limits;
    const costs = indices.map((index) => 1 + OUTPUT_COST + LONE_POSITION_COST * chunks[index].start);
    const target = sum(costs) / lanes;
    let lane = 0;
    let spent = 0;
    for (const [i, index] of indices.entries()) {
      if (i % TILE === 0 && lane < lanes - 1 && spent + sum(costs.slice(i, i + TILE)) / 2 > (lane + 1) * target) lane++;
      this.add(lane, { index, chunk: chunks[index] }, costs[i]);
      spent += costs[i];
    }
  }

  prompts(chunks: readonly Chunk[], indices: readonly number[]): void {
    const prompts = indices.reduce((sum, index) => sum + promptCost(chunks[index], chunks[index].count), 0);
    const target = (sum(this.costs) + prompts) / this.limits.lanes;
    let lane = 0;
    for (const index of indices) {
      let rest = chunks[index];
      while (rest.count > 0) {
        const count =
          lane === this.limits.lanes - 1
            ? rest.count
            : Math.min(this.wholeTiles(lane, promptRows(rest, target - this.costs[lane])), rest.count);
        if (count <= 0) {
          lane++;
          continue;
        }
        const isLast = count === rest.count;
        const part = { ...rest, count, wantsLogits: rest.wantsLogits && isLast };
        this.add(lane, { index, chunk: part }, promptCost(rest, count));
        rest = { ...rest, start: rest.start + count, count: rest.count - count };
      }
    }
  }

  result(): LanePart[][] | undefined {
    const { lanes, rows, sequences, leastRows } = this.limits;
    const most = (MOST_UNEVEN * sum(this.costs)) / lanes;
    const fits = this.parts.every(
      (parts, lane) =>
        this.rows[lane] >= leastRows / 2 &&
        this.rows[lane] <= rows &&
        parts.length <= sequences &&
        this.costs[lane] <= most,
    );
    return fits ? this.parts : undefined;
  }

  /** How many rows of about so many make whole tiles of all that the lane has. */
  private wholeTiles(lane: number, wanted: number): number {
    const rows = this.rows[lane] + wanted;
    const large = ROW_TILE * Math.round(rows / ROW_TILE);
    return (Math.abs(large - rows) <= NEAR ? large : TILE * Math.round(rows / TILE)) - this.rows[lane];
  }

  private add(lane: number, part: LanePart, cost: number): void {
    this.parts[lane].push(part);
    this.rows[lane] += part.chunk.count;
    this.costs[lane] += cost;
  }
}

/** What a chunk's first row costs. */
function firstRowCost({ start, count }: Chunk): number {
  return 1 + CHUNK_POSITION_COST * start + OUTPUT_COST / count;
}

/** What a chunk's first `rows` rows cost, each of which sees one position more than the one before. */
function promptCost(chunk: Chunk, rows: number): number {
  return rows * (firstRowCost(chunk) + (CHUNK_POSITION_COST * rows) / 2);
}

/** How many of a chunk's first rows have this cost. */
function promptRows(chunk: Chunk, cost: number): number {
  if (cost <= 0) return 0;
  const first = firstRowCost(chunk);
  return (2 * cost) / (first + Math.sqrt(first * first + 2 * CHUNK_POSITION_COST * cost));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
