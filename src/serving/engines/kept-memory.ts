import { closeSync, openSync } from 'node:fs';

/**
 * The page memory of an engine, held so that it outlives the process: the next engine gets it and finds in it what its
 * predecessor computed. It is a file without a name, which is gone when nobody holds it any more.
 */
export class KeptMemory {
  private held: number | undefined;

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

  /** Lets go: the memory is free when no engine has it. */
  discard(): void {
    if (this.held !== undefined) closeSync(this.held);
    this.held = undefined;
  }
}
