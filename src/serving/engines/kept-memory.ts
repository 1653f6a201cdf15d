import { closeSync, openSync } from 'node:fs';

/** Engines that die before such a time, more than one in a row, may do so of what the one before them left. */
const SHORT_LIFE_MS = 3_000;

/**
 * The page memory of an engine, held so that it outlives the process: the next engine gets it and finds in it what its
 * predecessor computed. It is a file without a name, which is gone when nobody holds it any more.
 */
export class KeptMemory {
  private held: number | undefined;
  /** Engines in a row, up to the last one, that died a moment after they had started. */
  private shortLives = 0;

  /** The file descriptor to hand to the next engine; undefined: there is nothing that it could take over. */
  get descriptor(): number | undefined {
    return this.held;
  }

  /** Takes hold of what a running process has open as `descriptor`. Where that cannot be, nothing is held. */
  hold(pid: number, descriptor: number): void {
    this.discard();
    try {
      this.held = openSync(`/proc/${pid}/fd/${descriptor}`, 'r+');
    } catch {
      // Without it the next engine computes everything anew.
    }
  }

  /**
   * The engine that had it is dead. What it died of may be in it: it is given up when engines do not live long, or when one
   * that took over died before anybody got on.
   */
  engineDied(livedMs: number, someoneGotOn: boolean): void {
    this.shortLives = livedMs < SHORT_LIFE_MS ? this.shortLives + 1 : 0;
    if (this.shortLives > 1 || !someoneGotOn) this.discard();
  }

  /** Lets go: the memory is free when no engine has it. */
  discard(): void {
    if (this.held !== undefined) closeSync(this.held);
    this.held = undefined;
  }
}
