/** A request that has not been part of a step yet. */
export interface Waiter {
  tenant: string;
  /** Lower runs earlier; above 0 is work that can wait: it is the first to be turned away. */
  priority: number;
  /** Of the prompt, and at most of the answer. */
  tokens: number;
  /** Tells it that it has been turned away for somebody else. */
  turnAway(): void;
}

export interface WaitingRoomLimits {
  /** Requests; 0: any number. */
  maxRequests: number;
  /** Sum of their tokens; 0: any number. */
  maxTokens: number;
}

/**
 * Requests that wait for the engine, and no more of them than are allowed. When there is no room, whoever comes takes the
 * place of one that matters less: of the newest of the lowest priority, if its own is better, or else of the newest of
 * the tenant with the most, if its own has fewer. From half full on, work that can wait gives way to all other.
 */
export class WaitingRoom {
  private readonly limits: WaitingRoomLimits;
  /** In the order in which they came. */
  private readonly waiters = new Set<Waiter>();
  private readonly ofTenant = new Map<string, number>();
  private tokens = 0;

  constructor(limits: WaitingRoomLimits) {
    this.limits = limits;
  }

  get size(): number {
    return this.waiters.size;
  }

  /** @returns whether it is in, at the cost of another, if need be; nothing has happened if not */
  enter(waiter: Waiter): boolean {
    const turnedAway = this.placesFor(waiter);
    if (turnedAway === undefined) return false;
    for (const other of turnedAway) {
      this.leave(other);
      other.turnAway();
    }
    this.waiters.add(waiter);
    this.tokens += waiter.tokens;
    this.count(waiter.tenant, 1);
    return true;
  }

  /** To be called when it runs or is over; again does nothing. */
  leave(waiter: Waiter): void {
    if (!this.waiters.delete(waiter)) return;
    this.tokens -= waiter.tokens;
    this.count(waiter.tenant, -1);
  }

  /** Adds a request to those of a call that is in: it takes room, but is not refused. */
  join(waiter: Waiter): void {
    this.waiters.add(waiter);
    this.tokens += waiter.tokens;
    this.count(waiter.tenant, 1);
  }

  /** Whether {@link enter} would let it in. */
  isOpenTo(waiter: Waiter): boolean {
    return this.placesFor(waiter) !== undefined;
  }

  /** Who has to go for it, if that is enough. */
  private placesFor(waiter: Waiter): Waiter[] | undefined {
    const going: Waiter[] = [];
    let { tokens } = this;
    const isGone = (other: Waiter): boolean => going.includes(other);
    const fits = (share: number): boolean =>
      this.fits(this.waiters.size - going.length + 1, tokens + waiter.tokens, share);
    const send = (other: Waiter): void => {
      going.push(other);
      tokens -= other.tokens;
    };
    if (!fits(0.5)) {
      if (canWait(waiter)) return undefined;
      const other = this.leastImportant(waiter.priority, isGone);
      if (other !== undefined && canWait(other)) send(other);
    }
    while (!fits(1)) {
      const other = this.leastImportant(waiter.priority, isGone) ?? this.newestOfCrowd(waiter, going);
      if (other === undefined) return undefined;
      send(other);
    }
    return going;
  }

  /** Whoever comes when nobody waits is let in, however long. */
  private fits(requests: number, tokens: number, share: number): boolean {
    const { maxRequests, maxTokens } = this.limits;
    if (requests <= 1) return true;
    return (maxRequests === 0 || requests <= maxRequests * share) && (maxTokens === 0 || tokens <= maxTokens * share);
  }

  /** The newest of the lowest priority, if that is below this one. */
  private leastImportant(priority: number, isGone: (waiter: Waiter) => boolean): Waiter | undefined {
    let found: Waiter | undefined;
    for (const waiter of this.waiters) {
      if (waiter.priority > priority && waiter.priority >= (found?.priority ?? priority) && !isGone(waiter))
        found = waiter;
    }
    return found;
  }

  /** The newest of the tenant with the most, if that one has more than the waiter's even without it. */
  private newestOfCrowd({ tenant, priority }: Waiter, going: readonly Waiter[]): Waiter | undefined {
    const countOf = (name: string): number =>
      (this.ofTenant.get(name) ?? 0) - going.filter((waiter) => waiter.tenant === name).length;
    let crowd: string | undefined;
    for (const name of this.ofTenant.keys()) if (crowd === undefined || countOf(name) > countOf(crowd)) crowd = name;
    if (crowd === undefined || crowd === tenant || countOf(crowd) <= countOf(tenant) + 1) return undefined;
    const waiters = [...this.waiters].filter((waiter) => waiter.tenant === crowd && waiter.priority >= priority);
    return waiters.findLast((waiter) => !going.includes(waiter));
  }

  private count(tenant: string, change: number): void {
    const count = (this.ofTenant.get(tenant) ?? 0) + change;
    if (count === 0) this.ofTenant.delete(tenant);
    else this.ofTenant.set(tenant, count);
  }
}

/** Work of a priority below the usual one. */
export function canWait({ priority }: Pick<Waiter, 'priority'>): boolean {
  return priority > 0;
}
