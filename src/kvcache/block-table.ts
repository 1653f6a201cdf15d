/**
 * Where one sequence's KV lies: `blocks[i]` holds positions [i · blockSize, (i + 1) · blockSize). Only {@link KVCache}
 * changes it.
 */
export interface BlockTable {
  readonly blocks: number[];
  /** Chain keys of the sequence's full blocks, as far as they were needed; `keys[0]` is the root's. */
  readonly keys: string[];
  /** Positions [0, computed) have their KV in the blocks. */
  computed: number;
}
