import type { ScheduledSequence, StepPlan } from '../../src/scheduler/index.js';

/** A hash of all tokens of a sequence so far, `a`, and its next token. */
export const mix = (a: number, b: number): number => {
  let h = Math.imul(a ^ b, 0x9e3779b1) ^ (a >>> 15);
  h = Math.imul(h ^ (h >>> 13), 0x85ebca6b);
  return h ^ (h >>> 16);
};

const tokenAfter = (state: number, choice: number): number => (mix(state, choice + 77) >>> 0) % 11;

/**
 * A deterministic stand-in for a model with a KV cache: the "KV" of a position is a hash of all tokens up to it, kept in
 * paged memory and read back through the block table, so that a wrong block, a lost copy or a page that somebody else
 * overwrote changes the next token.
 */
export class FakeModel {
  private readonly memory: Int32Array;
  private readonly blockSize: number;

  constructor(numBlocks: number, blockSize: number) {
    this.blockSize = blockSize;
    this.memory = new Int32Array(numBlocks * blockSize);
  }

  /** Does what a step does: copies first, then computes. @throws when two sequences write one slot */
  compute(plan: StepPlan): void {
    for (const { source, target } of plan.copies) {
      this.memory.copyWithin(target * this.blockSize, source * this.blockSize, (source + 1) * this.blockSize);
    }
    const written = new Set<number>();
    for (const scheduled of plan.scheduled) {
      const { sequence, start, count } = scheduled;
      for (let position = start; position < start + count; position++) {
        const slot = this.slot(scheduled, position);
        if (written.has(slot)) throw new Error(`slot ${slot} is written twice in one step`);
        written.add(slot);
        const before = position === 0 ? 1 : this.memory[this.slot(scheduled, position - 1)];
        this.memory[slot] = mix(before, sequence.tokens.at(position));
      }
    }
  }

  /** The token that choice `choice` would continue with after this step. */
  sample(scheduled: ScheduledSequence, choice: number): number {
    return tokenAfter(this.memory[this.slot(scheduled, scheduled.start + scheduled.count - 1)], choice);
  }

  private slot({ sequence }: ScheduledSequence, position: number): number {
    const block = sequence.table.blocks[Math.floor(position / this.blockSize)];
    return block * this.blockSize + (position % this.blockSize);
  }
}

/** What the fake model answers when nothing else runs, without any memory at all. */
export function answerAlone(prompt: Int32Array, choice: number, maxTokens: number): number[] {
  let state = 1;
  for (const token of prompt) state = mix(state, token);
  const output: number[] = [];
  while (output.length < maxTokens) {
    const token = tokenAfter(state, choice);
    output.push(token);
    state = mix(state, token);
  }
  return output;
}
