import type { LlamaBatch, LlamaContext, LlamaMemory } from '../../src/llama/index.js';
import { mix } from './fake-model.js';

export const FAKE_VOCAB_SIZE = 11;

/** `attention`: a cell for each position. `windowed`: likewise, with a sliding window. `recurrent`: a state for each id. */
export type FakeMemoryKind = 'attention' | 'windowed' | 'recurrent';

interface Cell {
  position: number;
  /** Hash of all tokens up to this position. */
  state: number;
  ids: Set<number>;
}

const FIRST_STATE = 1;

/** Logits that follow from all tokens of a sequence. */
export function fakeLogits(tokens: Iterable<number>): Float32Array {
  let state = FIRST_STATE;
  for (const token of tokens) state = mix(state, token);
  return logitsOf(state);
}

function logitsOf(state: number): Float32Array {
  return Float32Array.from({ length: FAKE_VOCAB_SIZE }, (_, token) => (mix(state, token + 77) >>> 0) / 2 ** 31);
}

/**
 * A stand-in for llama.cpp's unified KV cache with as strict rules: a batch goes on where its sequences end, nothing is
 * missing before, cells are not more than there are. With a window it takes away what llama.cpp may take away.
 */
export class FakeCells
  implements Pick<LlamaContext, 'batchSize' | 'maxOutputs' | 'decode' | 'embed' | 'embedding' | 'logits' | 'memory'>
{
  readonly batchSize: number;
  readonly maxOutputs: number;
  readonly memory: LlamaMemory;
  /** Most cells in use at once, and tokens computed. */
  mostUsed = 0;
  computed = 0;
  private readonly options: { cells: number; ids: number; kind: FakeMemoryKind; window: number };
  private cells: Cell[] = [];
  private rows: Float32Array[] = [];

  constructor(options: { batchSize: number; cells: number; ids: number; kind: FakeMemoryKind; window: number }) {
    this.options = options;
    this.batchSize = options.batchSize;
    this.maxOutputs = options.ids;
    const held = (id: number) => this.cells.filter(({ ids }) => ids.has(this.known(id))).map((cell) => cell.position);
    this.memory = {
      seqCopy: (source, target, from, to) => this.copy(this.known(source), this.known(target), from, to),
      seqRemove: (id, from, to) => this.remove(this.known(id), from, to),
      seqPosMin: (id) => Math.min(...held(id), Infinity),
      seqPosMax: (id) => Math.max(...held(id), -1),
    };
  }

  decode(batch: LlamaBatch): void {
    if (this.options.kind === 'windowed') this.giveAwayLeftBehind();
    this.rows = [];
    const written: Cell[] = [];
    for (let row = 0; row < batch.length; row++) {
      const id = this.known(batch.sequenceIds[row]);
      const position = batch.positions[row];
      const cell = { position, state: mix(this.stateBefore(id, position), batch.tokens[row]), ids: new Set([id]) };
      if (this.options.kind === 'recurrent') this.remove(id, 0, -1);
      this.cells.push(cell);
      written.push(cell);
      this.rows.push(logitsOf(cell.state));
    }
    if (this.options.kind !== 'recurrent' && this.cells.length > this.options.cells) {
      throw new Error(`${this.cells.length} cells are needed, there are ${this.options.cells}`);
    }
    this.mostUsed = Math.max(this.mostUsed, this.cells.length);
    this.computed += written.length;
  }

  logits(row: number): Float32Array {
    return this.rows[row];
  }

  embed(batch: LlamaBatch): void {
    if (batch.length > this.maxOutputs) throw new Error(`${batch.length} hidden states do not fit`);
    this.decode(batch);
  }

  /** What {@link fakeLogits} gives for the tokens up to this one. */
  embedding(row: number): Float32Array {
    return this.rows[row];
  }

  /** @throws Error unless the sequence holds every position before this one, once, and none from it on */
  private stateBefore(id: number, position: number): number {
    const own = this.cells.filter(({ ids }) => ids.has(id)).sort((a, b) => a.position - b.position);
    if (this.options.kind === 'recurrent') {
      if ((own[0]?.position ?? -1) !== position - 1)
        throw new Error(`the state of ${id} is not that before ${position}`);
      return own[0]?.state ?? FIRST_STATE;
    }
    if (own.length !== position || own.some((cell, i) => cell.position !== i)) {
      throw new Error(`sequence ${id} does not hold exactly the positions before ${position}`);
    }
    return own.at(-1)?.state ?? FIRST_STATE;
  }

  private giveAwayLeftBehind(): void {
    this.cells = this.cells.filter(({ position, ids }) => {
      const [id] = ids;
      return ids.size > 1 || this.memory.seqPosMax(id) + 1 - position < this.options.window;
    });
  }

  private copy(source: number, target: number, from: number, to: number): void {
    const whole = this.options.kind === 'recurrent';
    if (whole) this.remove(target, 0, -1);
    for (const { ids, position } of this.cells) {
      if (ids.has(source) && (whole || (position >= from && position < to))) ids.add(target);
    }
  }

  private remove(id: number, from: number, to: number): boolean {
    const end = to < 0 ? Infinity : to;
    if (this.options.kind === 'recurrent' && (from > 0 || end < Infinity)) return false;
    for (const { ids, position } of this.cells) if (position >= from && position < end) ids.delete(id);
    this.cells = this.cells.filter(({ ids }) => ids.size > 0);
    return true;
  }

  private known(id: number): number {
    if (!(id >= 0 && id < this.options.ids)) throw new RangeError(`sequence ${id}`);
    return id;
  }
}
