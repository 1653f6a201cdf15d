import { compareSequences, type Sequence } from './sequence.js';
import { WaitingQueue } from './waiting-queue.js';

/** So many tenants are remembered although nothing of theirs waits. */
const MAX_IDLE_TENANTS = 10_000;

/**
 * Waiting sequences of all tenants, best first: by priority, then the tenant that was served least, then arrival. With
 * one tenant it is a {@link WaitingQueue}.
 *
 * Service is counted in tokens (the virtual token counter of Sheng et al. 2024, "Fairness in Serving Large Language
 * Models"): whoever begins to wait is lifted to the least served of those who wait already, or, if nobody does, to the one
 * who last had to. So nobody saves up a claim while it has nothing to ask, and nobody who waits is passed over for long.
 *
 * Adding is O(log n) in the sequences of a tenant; looking at the best one is O(tenants that wait).
 */
export class FairQueue {
  /** Of tenants with something that waits. */
  private readonly queues = new Map<string, WaitingQueue>();
  private readonly served = new Map<string, number>();
  private lastToLeave = '';

  get size(): number {
    let size = 0;
    for (const queue of this.queues.values()) size += queue.size;
    return size;
  }

  /** Those with something that waits. */
  tenants(): Iterable<string> {
    return this.queues.keys();
  }

  /** Tokens the tenant has been charged for; only differences mean something. */
  servedTo(tenant: string): number {
    return this.served.get(tenant) ?? 0;
  }

  charge(tenant: string, tokens: number): void {
    this.served.set(tenant, this.servedTo(tenant) + tokens);
  }

  push(sequence: Sequence): void {
    const { tenant } = sequence;
    let queue = this.queues.get(tenant);
    if (queue === undefined) {
      this.lift(tenant);
      queue = new WaitingQueue();
      this.queues.set(tenant, queue);
    }
    queue.push(sequence);
  }

  peek(): Sequence | undefined {
    let best: Sequence | undefined;
    for (const queue of this.queues.values()) {
      const head = queue.peek()!;
      if (best === undefined || this.compare(head, best) < 0) best = head;
    }
    return best;
  }

  pop(): Sequence | undefined {
    const best = this.peek();
    if (best === undefined) return undefined;
    this.queues.get(best.tenant)!.pop();
    this.dropIfEmpty(best.tenant);
    return best;
  }

  /** @param sequence must be in the queue */
  remove(sequence: Sequence): void {
    this.queues.get(sequence.tenant)!.remove(sequence);
    this.dropIfEmpty(sequence.tenant);
  }

  private compare(a: Sequence, b: Sequence): number {
    return a.priority - b.priority || this.servedTo(a.tenant) - this.servedTo(b.tenant) || compareSequences(a, b);
  }

  private lift(tenant: string): void {
    let least = Number.POSITIVE_INFINITY;
    for (const other of this.queues.keys()) least = Math.min(least, this.servedTo(other));
    if (least === Number.POSITIVE_INFINITY) least = this.servedTo(this.lastToLeave);
    // A token less, so that whoever comes anew goes before those who wait for longer, once.
    this.served.set(tenant, Math.max(this.servedTo(tenant), least - 1));
    if (this.served.size > MAX_IDLE_TENANTS + this.queues.size) this.forgetIdle();
  }

  private dropIfEmpty(tenant: string): void {
    if (this.queues.get(tenant)!.size > 0) return;
    this.queues.delete(tenant);
    this.lastToLeave = tenant;
  }

  /** Whoever comes back is lifted to where the others are. */
  private forgetIdle(): void {
    for (const tenant of this.served.keys()) {
      if (!this.queues.has(tenant) && tenant !== this.lastToLeave) this.served.delete(tenant);
    }
  }
}
