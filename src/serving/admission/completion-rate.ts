/** So many completions are looked back upon. */
const MEMORY = 64;

/** How many requests end in a second, of late. Times are in ms, on one steady clock. */
export class CompletionRate {
  private readonly times: number[] = [];

  completed(now: number): void {
    this.times.push(now);
    if (this.times.length > MEMORY) this.times.shift();
  }

  /** Undefined while nothing is known. A standstill makes it smaller and smaller. */
  perSecond(now: number): number | undefined {
    const [oldest] = this.times;
    if (oldest === undefined || this.times.length < 2) return undefined;
    return ((this.times.length - 1) * 1000) / Math.max(1, now - oldest);
  }
}
