import type { BlockTable } from '../kvcache/index.js';
import type { TokenList } from './token-list.js';

/**
 * `waiting`: holds no blocks, its turn comes by priority and arrival. `running`: holds a slot and its blocks.
 * A preempted sequence is waiting again, with the tokens it has generated.
 */
export type SequenceState = 'waiting' | 'running' | 'finished';

/** One choice of one request: its tokens, and where their KV lies. */
export interface Sequence {
  readonly requestId: string;
  /** Index among the request's choices. */
  readonly choice: number;
  /** On whose behalf it runs; tenants share the engine evenly. */
  readonly tenant: string;
  /** Lower runs earlier. */
  readonly priority: number;
  /** Position in the order of arrival; forks share their parent's. */
  readonly arrival: number;
  readonly promptLength: number;
  readonly tokens: TokenList;
  readonly table: BlockTable;
  state: SequenceState;
  /** Choices that will be forked off once the prompt is computed; each has a slot reserved. */
  pendingForks: number;
  /** Prompt blocks this sequence has announced to compute, in order; see `Scheduler.claimed`. */
  readonly claims: BlockClaim[];
  /** Takes nothing from the prefix cache. */
  readonly computesAll: boolean;
  /** Prompt tokens that others had computed. Complete once the first token is generated. */
  cachedTokens: number;
  wasPreempted: boolean;
}

export interface BlockClaim {
  /** Chain key of the block. */
  key: string;
  /** Its index in the sequence. */
  block: number;
}

/** Tokens whose KV is still to be computed; 1 for a sequence that is decoding. */
export function remainingTokens(sequence: Sequence): number {
  return sequence.tokens.length - sequence.table.computed;
}

/** Decoding: all but the newest token is computed, and at least one was generated. */
export function isDecoding(sequence: Sequence): boolean {
  return sequence.tokens.length > sequence.promptLength && remainingTokens(sequence) === 1;
}

/** Negative when `a` goes first: lower priority number, then earlier arrival, then lower choice. */
export function compareSequences(a: Sequence, b: Sequence): number {
  return a.priority - b.priority || a.arrival - b.arrival || a.choice - b.choice;
}

/** A choice of its own that shares everything `parent` has computed. `table` is a fork of the parent's. */
export function forkSequence(parent: Sequence, choice: number, table: BlockTable): Sequence {
  return { ...parent, choice, table, tokens: parent.tokens.clone(), pendingForks: 0, claims: [] };
}
