import { compareSequences, type Sequence } from './sequence.js';

/** An output token counts as much as so many tokens of a prompt, as Sheng et al. 2024 and price lists have it. */
export const OUTPUT_WEIGHT = 2;

/** Whether the sequences are of more than one tenant. */
export function isShared(sequences: readonly Sequence[]): boolean {
  return sequences.some(({ tenant }) => tenant !== sequences[0]!.tenant);
}

/**
 * In the order in which tenants would run if they took turns: the first sequence of each, by priority and arrival, then the
 * second of each, and so on. The last one is the newest of whoever has the most; with one tenant it is
 * {@link compareSequences}.
 */
export function takingTurns(sequences: readonly Sequence[]): Sequence[] {
  const sorted = [...sequences].sort(compareSequences);
  const counts = new Map<string, number>();
  const turns = new Map<Sequence, number>();
  for (const sequence of sorted) {
    const turn = counts.get(sequence.tenant) ?? 0;
    counts.set(sequence.tenant, turn + 1);
    turns.set(sequence, turn);
  }
  return sorted.sort((a, b) => a.priority - b.priority || turns.get(a)! - turns.get(b)! || compareSequences(a, b));
}

/** What each tenant's running sequences hold, in slots or in blocks. */
export function holdings(running: readonly Sequence[], of: (sequence: Sequence) => number): Map<string, number> {
  const held = new Map<string, number>();
  for (const sequence of running) held.set(sequence.tenant, (held.get(sequence.tenant) ?? 0) + of(sequence));
  return held;
}
