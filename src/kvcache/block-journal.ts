/** A full block as a journal has it. */
export interface JournalEntry {
  block: number;
  key: string;
  /** Key of the block (or root) before it. */
  parent: string;
  tokens: Int32Array;
}

/**
 * Where it is written down which blocks hold what, so that whoever comes after this process can find them. It is told
 * what the prefix index knows, as it changes.
 */
export interface BlockJournal {
  /** A block became full and findable; nobody writes into it until it is erased. */
  write(entry: JournalEntry): void;
  /** A block is about to be overwritten. */
  erase(block: number): void;
  /** What an earlier process left, in the order in which it is to be reused. */
  recover(): Iterable<JournalEntry>;
  /** Whether the block's contents are those that were written down. */
  isSound(block: number): boolean;
}
