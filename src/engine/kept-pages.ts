import { createHash } from 'node:crypto';
import { PAGE_TOKENS, type PagedAttention } from '../attention/index.js';
import type { BlockJournal, JournalEntry } from '../kvcache/index.js';

export interface KeptPagesOptions {
  attention: Pick<PagedAttention, 'share' | 'sumPages'>;
  /** Descriptor of the memory that an engine before this one left; left out: there was none. */
  descriptor?: number;
  numBlocks: number;
  blockSize: number;
  /** Of everything that pages depend on besides their tokens: model, kernel, shape. Pages of others are not taken over. */
  identity: string;
}

/** SHA-256, as bytes. */
const HASH_BYTES = 32;

/** Of the journal: the identity, then one entry per block. */
const HEADER_BYTES = 64;

/** Where the fields of an entry begin; its tokens follow. A stamp of 0 means that there is no entry. */
const STAMP = 0;
const SUM = 8;
const KEY = 16;
const PARENT = KEY + HASH_BYTES;
const TOKENS = PARENT + HASH_BYTES;

/** The layout of this file, so that another one's journal is not read. */
const LAYOUT = 1;

/**
 * Page memory that outlives the engine, with a journal behind the pages of what they hold: for each full block its key,
 * the key before it, its tokens, a checksum of its pages, and a stamp that grows with time. An engine that is given the
 * memory of one that died finds its blocks again.
 *
 * A block's entry is written when the step that filled it is over, stamp last, and its stamp is taken away before
 * anybody writes into the block. So whenever a process ends, an entry with a stamp is of a block that was whole; the
 * checksum is for what nobody meant to write.
 */
export class KeptPages implements BlockJournal {
  /** For whoever is to keep the memory. */
  readonly descriptor: number;
  /** Blocks that an engine before this one left. */
  recovered = 0;
  private readonly options: KeptPagesOptions;
  private readonly entryBytes: number;
  private readonly tail: Uint8Array;
  private readonly view: DataView;
  private stamp = 0;

  private constructor(options: KeptPagesOptions, { descriptor, tail }: { descriptor: number; tail: Uint8Array }) {
    this.options = options;
    this.descriptor = descriptor;
    this.tail = tail;
    this.view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
    this.entryBytes = entryBytes(options);
    const identity = createHash('sha256')
      .update(JSON.stringify([LAYOUT, options.numBlocks, options.blockSize, options.identity]))
      .digest();
    if (Buffer.from(tail.buffer, tail.byteOffset, HASH_BYTES).equals(identity)) return;
    for (let block = 0; block < options.numBlocks; block++) this.erase(block);
    tail.set(identity);
  }

  /** Moves the pages of `attention` into memory that outlives the process; undefined where there is none. */
  static open(options: KeptPagesOptions): KeptPages | undefined {
    const { attention, descriptor, numBlocks } = options;
    const bytes = HEADER_BYTES + numBlocks * entryBytes(options);
    const left = descriptor === undefined ? undefined : attention.share(descriptor, bytes);
    const shared = left ?? attention.share(undefined, bytes);
    return shared && new KeptPages(options, shared);
  }

  write({ block, key, parent, tokens }: JournalEntry): void {
    const at = this.offset(block);
    this.tail.set(Buffer.from(key, 'base64'), at + KEY);
    this.tail.set(Buffer.from(parent, 'base64'), at + PARENT);
    this.tail.set(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength), at + TOKENS);
    this.tail.set(this.sum(block), at + SUM);
    this.view.setFloat64(at + STAMP, ++this.stamp);
  }

  erase(block: number): void {
    this.view.setFloat64(this.offset(block) + STAMP, 0);
  }

  /**
   * What was used least recently comes first, as far as stamps tell: a block is as young as the youngest that hangs on it,
   * and of a chain the end comes before the beginning.
   */
  recover(): JournalEntry[] {
    const found: { stamp: number; youngest: number; entry: JournalEntry }[] = [];
    for (let block = 0; block < this.options.numBlocks; block++) {
      const stamp = this.view.getFloat64(this.offset(block) + STAMP);
      if (stamp > 0) found.push({ stamp, youngest: stamp, entry: this.read(block) });
    }
    const byKey = new Map(found.map((one) => [one.entry.key, one]));
    found.sort((a, b) => b.stamp - a.stamp);
    for (const { youngest, entry } of found) {
      const parent = byKey.get(entry.parent);
      if (parent) parent.youngest = Math.max(parent.youngest, youngest);
    }
    found.sort((a, b) => a.youngest - b.youngest || b.stamp - a.stamp);
    this.stamp = found.reduce((most, { stamp }) => Math.max(most, stamp), 0);
    this.recovered = found.length;
    return found.map(({ entry }) => entry);
  }

  isSound(block: number): boolean {
    const at = this.offset(block) + SUM;
    return this.sum(block).every((byte, i) => this.tail[at + i] === byte);
  }

  private read(block: number): JournalEntry {
    const at = this.offset(block);
    const hash = (from: number): string => Buffer.from(this.tail.slice(from, from + HASH_BYTES)).toString('base64');
    const tokens = new Int32Array(this.tail.slice(at + TOKENS, at + this.entryBytes).buffer);
    return { block, key: hash(at + KEY), parent: hash(at + PARENT), tokens };
  }

  private sum(block: number): Uint8Array {
    const pages = this.options.blockSize / PAGE_TOKENS;
    const sum = new Uint8Array(8);
    this.options.attention.sumPages(block * pages, pages, sum);
    return sum;
  }

  private offset(block: number): number {
    return HEADER_BYTES + block * this.entryBytes;
  }
}

function entryBytes({ blockSize }: { blockSize: number }): number {
  return TOKENS + blockSize * Int32Array.BYTES_PER_ELEMENT;
}
