import type { GrammarSource } from './compiler.js';

/** To the worker that computes masks. */
export type MaskRequest =
  /** Begin to match a grammar, once for each of the given masks, and fill those. */
  | { type: 'open'; id: string; grammar: GrammarSource; choices: MaskedChoice[] }
  /** Tokens that choices have gone on with; their masks are to be filled anew. */
  | { type: 'accept'; tokens: ReadonlyArray<readonly [id: string, choice: number, token: number]> }
  | { type: 'close'; id: string };

/** One of them. */
export interface MaskedChoice {
  mask: SharedArrayBuffer;
  /** Tokens that it has gone on with already. */
  tokens: readonly number[];
}

export type MaskReply =
  | { type: 'opened'; id: string }
  /** `wrong`: the grammar is at fault, and not the machine. */
  | { type: 'refused'; id: string; message: string; wrong: boolean };

/**
 * A mask in shared memory: how many masks have been written, then a bit for each token that may come next. A count
 * below 0 says that there will be none any more.
 */
export function createMask(vocabSize: number): SharedArrayBuffer {
  return new SharedArrayBuffer(4 + 4 * Math.ceil(vocabSize / 32));
}

export function openMask(shared: SharedArrayBuffer): { count: Int32Array; words: Int32Array } {
  return { count: new Int32Array(shared, 0, 1), words: new Int32Array(shared, 4) };
}
