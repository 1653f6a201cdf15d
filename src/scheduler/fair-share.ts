import { compareSequences, type Sequence } from './sequence.js';

/** An output token counts as much as so many tokens of a prompt, as Sheng et al. 2024 and price lists have it. */
export const OUTPUT_WEIGHT = 2;

/** How long tenants are remembered to have been here together, in ms. */
const CONTENDED_MS = 60_000;

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

/** A sequence's own slot, and those of its choices to come. */
export function slotsOf({ pendingForks }: Sequence): number {
  return 1 + pendingForks;
}

/** How many slots each tenant may have where several want them. */
export class SlotShares {
  /** Whoever has more has more than its share; no limit while one tenant is alone. */
  slots = Number.POSITIVE_INFINITY;
  /** That run or wait. */
  tenants = 0;
  private readonly maxNumSeqs: number;
  /** When several tenants were last here together. */
  private contendedAt = Number.NEGATIVE_INFINITY;

  constructor(maxNumSeqs: number) {
    this.maxNumSeqs = maxNumSeqs;
  }

  /** To be called before each step. Whoever asks one thing after the other is a tenant in between as well. */
  update(now: number, running: readonly Sequence[], waiting: Iterable<string>): void {
    this.tenants = new Set([...running.map(({ tenant }) => tenant), ...waiting]).size;
    if (this.tenants > 1) this.contendedAt = now;
    const share = Math.max(1, Math.floor(this.maxNumSeqs / Math.max(2, this.tenants)));
    this.slots = now - this.contendedAt < CONTENDED_MS ? share : Number.POSITIVE_INFINITY;
  }

  /** Whether several share the slots, and the tenant of this one would not have more than its share with it. */
  isOwed(sequence: Sequence, running: readonly Sequence[]): boolean {
    if (this.slots === Number.POSITIVE_INFINITY) return false;
    const own = running.filter(({ tenant }) => tenant === sequence.tenant);
    return own.reduce((slots, one) => slots + slotsOf(one), slotsOf(sequence)) <= this.slots;
  }

  /** Tells those whose tenants have more than their share. */
  greedyAmong(running: readonly Sequence[]): (sequence: Sequence) => boolean {
    const held = holdings(running, slotsOf);
    return ({ tenant }) => held.get(tenant)! > this.slots;
  }
}
