import type { BlockCopy } from '../kvcache/index.js';
import type { LlamaMemory } from '../llama/index.js';
import type { Chunk } from './executor.js';

export interface CellSequencesOptions {
  memory: Pick<LlamaMemory, 'seqCopy' | 'seqRemove'>;
  /** Tokens per block. */
  blockSize: number;
  /** Sequence ids that llama.cpp has, from 0 on. */
  ids: number;
  /**
   * Layers with a sliding window: llama.cpp gives away cells that a window has left behind, if one sequence alone holds
   * them. Each sequence then takes a second id that holds its full blocks too.
   */
  windowed: boolean;
  /** Recurrent layers: a state can be shared as a whole, but nothing can be taken off its end. */
  wholeOnly: boolean;
  /** Most blocks that are kept after the end of the last sequence that computed with them. */
  mostIdleBlocks: number;
  /** Nobody holds the contents of these blocks any more. */
  onLost(blocks: readonly number[]): void;
}

/** What one of llama.cpp's sequence ids holds. */
export interface CellSequence {
  readonly id: number;
  /** The block table that it computes; undefined when its sequence has ended and others may begin with what it holds. */
  table: readonly number[] | undefined;
  /** Positions [i · blockSize, (i + 1) · blockSize), as far as below `length`, are block `blocks[i]`, or gone: {@link GONE}. */
  readonly blocks: number[];
  length: number;
  /** Step of its last use. */
  lastUsed: number;
}

const GONE = -1;

/**
 * Mirrors block tables in llama.cpp's unified KV cache. There, a cell holds one position for a set of sequence ids; a
 * block is the cells that some ids hold at its positions, and sharing a block adds one id more to them.
 *
 * Every id lists the blocks that it holds. When a block is given to somebody else, whoever still held its old contents
 * lets go of them; so there are never more cells in use than there are positions in blocks. A sequence that ends leaves
 * its id to its blocks, until those are reused, or too many are idle, or ids run out.
 *
 * A step is: {@link beginStep}, then for each chunk {@link continuing}, or else {@link open} and {@link share}; for all
 * of them {@link settleCopy}, then {@link claim}; compute; {@link advance}; {@link endStep}.
 */
export class CellSequences {
  private readonly options: CellSequencesOptions;
  private readonly all = new Set<CellSequence>();
  private readonly byTable = new Map<readonly number[], CellSequence>();
  private readonly holders = new Map<number, Set<CellSequence>>();
  private readonly freeIds: number[];
  /** Distance from an id to its second one. */
  private readonly guards: number;
  /** Where the contents of this step's copied blocks come from. */
  private sources = new Map<number, number>();
  private step = 0;
  /** A sequence ended in this step. */
  private hasNewIdle = false;

  constructor(options: CellSequencesOptions) {
    this.options = options;
    this.guards = mostSequences(options.ids, options.windowed);
    this.freeIds = Array.from({ length: this.guards }, (_, i) => this.guards - 1 - i);
  }

  /** @param copies blocks whose contents are those of another at the beginning of this step */
  beginStep(copies: readonly BlockCopy[]): void {
    this.step++;
    this.sources = new Map(copies.map(({ source, target }) => [target, source]));
    for (const sequence of this.all) {
      // A table that has given up its blocks is empty.
      if (sequence.table?.length === 0) this.retire(sequence);
    }
  }

  /** The sequence that has computed exactly the chunk's past, if there is one. */
  continuing({ blocks, start }: Chunk): CellSequence | undefined {
    const sequence = this.byTable.get(blocks);
    if (sequence === undefined) return undefined;
    if (sequence.length === start && this.matching(sequence, blocks, 0, start) === start) {
      sequence.lastUsed = this.step;
      return sequence;
    }
    // It gave up its blocks and took others between two steps.
    this.retire(sequence);
    return undefined;
  }

  /** An id for a table that has none. */
  open(table: readonly number[]): CellSequence {
    const id = this.freeIds.pop() ?? this.evict();
    const sequence: CellSequence = { id, table, blocks: [], length: 0, lastUsed: this.step };
    this.all.add(sequence);
    this.byTable.set(table, sequence);
    return sequence;
  }

  /** Marks those that {@link share} will want, so that they are the last to make room for others. */
  touchHolders({ blocks, start }: Chunk): void {
    for (let position = 0; position < start; ) {
      const found = this.longestHolder(blocks, position, start);
      if (found === undefined) return;
      found.holder.lastUsed = this.step;
      position = found.end;
    }
  }

  /** Takes over what another one holds of the positions from `sequence.length` to the chunk's start. False: nobody does. */
  share(sequence: CellSequence, { blocks, start }: Chunk): boolean {
    const from = sequence.length;
    const found = this.longestHolder(blocks, from, start);
    if (found === undefined) return false;
    this.options.memory.seqCopy(found.holder.id, sequence.id, from, found.end);
    const { blockSize } = this.options;
    for (let i = Math.floor(from / blockSize); i * blockSize < found.end; i++) {
      if (this.sources.has(blocks[i])) this.forgetOldContents(blocks[i], sequence);
      this.hold(sequence, i, blocks[i]);
    }
    this.advance(sequence, found.end);
    return true;
  }

  /** The partly filled last block may have been replaced by a copy: the cells are the same, under another name. */
  settleCopy(sequence: CellSequence, { blocks }: Chunk): void {
    const last = Math.floor(sequence.length / this.options.blockSize);
    if (last < sequence.blocks.length && sequence.blocks[last] !== blocks[last])
      this.take(sequence, last, blocks[last]);
  }

  /** Positions up to `end` will be computed: blocks that the sequence does not hold yet are new, and its own. */
  claim(sequence: CellSequence, { blocks }: Chunk, end: number): void {
    const { blockSize } = this.options;
    for (let i = sequence.blocks.length; i * blockSize < end; i++) this.take(sequence, i, blocks[i]);
  }

  /** Positions up to `end` are there. */
  advance(sequence: CellSequence, end: number): void {
    const { blockSize, memory, windowed } = this.options;
    const fullBefore = Math.floor(sequence.length / blockSize) * blockSize;
    const full = Math.floor(end / blockSize) * blockSize;
    sequence.length = end;
    if (windowed && full > fullBefore) memory.seqCopy(sequence.id, sequence.id + this.guards, fullBefore, full);
  }

  /** Lets go of what has not been used for longest, if more blocks are idle than may be. */
  endStep(): void {
    if (!this.hasNewIdle) return;
    this.hasNewIdle = false;
    let idle = 0;
    for (const holders of this.holders.values()) {
      if ([...holders].every(({ table }) => table === undefined)) idle++;
    }
    while (idle > this.options.mostIdleBlocks) idle -= this.discard(this.oldestEnded()!);
  }

  /** Which sequence holds most of these blocks from position `from`, a block's first, up to position `to`. */
  private longestHolder(blocks: readonly number[], from: number, to: number) {
    const { blockSize, wholeOnly } = this.options;
    const first = this.sourceOf(blocks[Math.floor(from / blockSize)]);
    let best: { holder: CellSequence; end: number } | undefined;
    for (const holder of this.holders.get(first) ?? []) {
      if (wholeOnly && holder.length !== to) continue;
      const end = this.matching(holder, blocks, from, to);
      if (end > (best?.end ?? from) && (!wholeOnly || end === to)) best = { holder, end };
      if (end === to) break;
    }
    return best;
  }

  /** Where `holder` stops to hold the same blocks, at most `to`. Blocks count only if it holds them that far. */
  private matching(holder: CellSequence, blocks: readonly number[], from: number, to: number): number {
    const { blockSize } = this.options;
    let position = from;
    for (let i = Math.floor(from / blockSize); position < to; i++) {
      const end = Math.min((i + 1) * blockSize, to);
      if (holder.length < end || holder.blocks[i] !== this.sourceOf(blocks[i])) break;
      position = end;
    }
    return position;
  }

  private sourceOf(block: number): number {
    return this.sources.get(block) ?? block;
  }

  /** The block at index `i` of the sequence is this one, and nobody else's. */
  private take(sequence: CellSequence, i: number, block: number): void {
    this.forgetOldContents(block, sequence);
    this.hold(sequence, i, block);
  }

  private hold(sequence: CellSequence, i: number, block: number): void {
    this.letGo(sequence, i);
    sequence.blocks[i] = block;
    const holders = this.holders.get(block);
    if (holders === undefined) this.holders.set(block, new Set([sequence]));
    else holders.add(sequence);
  }

  /** Removes block `i` from the list; true when nobody else holds it. */
  private letGo(sequence: CellSequence, i: number): boolean {
    const block = sequence.blocks[i] ?? GONE;
    if (block === GONE) return false;
    sequence.blocks[i] = GONE;
    const holders = this.holders.get(block)!;
    holders.delete(sequence);
    if (holders.size === 0) this.holders.delete(block);
    return holders.size === 0;
  }

  /** A block was given to `owner`: others that hold it have what it was before. */
  private forgetOldContents(block: number, owner: CellSequence): void {
    const { blockSize, wholeOnly } = this.options;
    for (const holder of [...(this.holders.get(block) ?? [])]) {
      if (holder === owner) continue;
      const i = holder.blocks.indexOf(block);
      this.letGo(holder, i);
      const isEmpty = holder.blocks.every((held) => held === GONE);
      if (wholeOnly || isEmpty) this.discard(holder);
      else this.remove(holder, i * blockSize, (i + 1) * blockSize);
    }
  }

  private retire(sequence: CellSequence): void {
    this.byTable.delete(sequence.table!);
    sequence.table = undefined;
    sequence.lastUsed = this.step;
    this.hasNewIdle = true;
  }

  /** Frees the id of the ended sequence that was used least recently. */
  private evict(): number {
    const oldest = this.oldestEnded();
    if (oldest === undefined) throw new Error(`more than ${this.guards} sequences run at once`);
    this.discard(oldest);
    return this.freeIds.pop()!;
  }

  private oldestEnded(): CellSequence | undefined {
    let oldest: CellSequence | undefined;
    for (const sequence of this.all) {
      if (sequence.table === undefined && sequence.lastUsed < (oldest?.lastUsed ?? Infinity)) oldest = sequence;
    }
    return oldest;
  }

  /** Returns the number of blocks that nobody holds any more. */
  private discard(sequence: CellSequence): number {
    const lost = sequence.blocks.filter((_, i) => this.letGo(sequence, i));
    this.remove(sequence, 0, -1);
    this.all.delete(sequence);
    if (sequence.table !== undefined) this.byTable.delete(sequence.table);
    this.freeIds.push(sequence.id);
    if (lost.length > 0) this.options.onLost(lost);
    return lost.length;
  }

  private remove({ id }: CellSequence, from: number, to: number): void {
    const { memory, windowed } = this.options;
    memory.seqRemove(id, from, to);
    if (windowed) memory.seqRemove(id + this.guards, from, to);
  }
}

/** How many sequences fit, running and ended ones together. */
export function mostSequences(ids: number, windowed: boolean): number {
  return windowed ? Math.floor(ids / 2) : ids;
}
