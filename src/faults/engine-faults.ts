import { activeFaults, engineFaultsOf, engineNumber } from './active.js';
import { type EngineFault, isIn } from './spec.js';

/** What goes wrong in the steps of an engine process. */
export interface EngineFaults {
  /** A step begins. Returns whether there are no free pages in it. */
  beginStep(): boolean;
  /**
   * The batch is about to be computed, with these prompts in it: what is due happens now, and may be the end of this process.
   * @throws Error when computing it is to fail
   */
  beforeDecode(prompts: readonly Int32Array[]): void;
}

/** Undefined unless QUIRE_FAULTS has something in store for this engine. */
export function engineFaults(): EngineFaults | undefined {
  const active = activeFaults();
  const faults = active === undefined ? [] : engineFaultsOf(active, engineNumber());
  return faults.length === 0 ? undefined : createEngineFaults(faults, strike);
}

export function createEngineFaults(
  faults: readonly EngineFault[],
  happen: (fault: EngineFault, step: number) => void,
): EngineFaults {
  let step = 0;
  const isDue = ({ steps }: EngineFault): boolean => steps === undefined || isIn(steps, step);
  return {
    beginStep() {
      step++;
      return faults.some((fault) => fault.kind === 'exhaust-pages' && isDue(fault));
    },
    beforeDecode(prompts) {
      for (const fault of faults) {
        const { kind, token } = fault;
        if (kind === 'exhaust-pages' || !isDue(fault)) continue;
        if (token === undefined || prompts.some((prompt) => prompt.includes(token))) happen(fault, step);
      }
    },
  };
}

function strike({ kind, ms }: EngineFault, step: number): void {
  switch (kind) {
    case 'kill':
      process.kill(process.pid, 'SIGKILL');
      // The signal comes when it comes; nothing may be computed until then.
      holdUp(Number.POSITIVE_INFINITY);
      break;
    case 'abort':
      process.abort();
      break;
    case 'hang':
      holdUp(Number.POSITIVE_INFINITY);
      break;
    case 'freeze':
      process.kill(process.pid, 'SIGSTOP');
      break;
    case 'slow':
      holdUp(ms);
      break;
    case 'fail-decode':
      throw new Error(`llama_decode failed in step ${step}: QUIRE_FAULTS asks for it`);
  }
}

/** Holds the thread up, as a long computation does: no message is read or answered meanwhile. */
function holdUp(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
