import { activeFaults, messageFaultsOf } from './active.js';
import { isIn, type MessageFault } from './spec.js';

/** A message on the wire: the bytes may be changed in place. */
interface Frame {
  bytes: Uint8Array;
}

/** Stands between a sender and its channel. */
export type Tamper = <F extends Frame>(type: string, frame: F, post: (frame: F) => void) => void;

/** What happens to messages to or from this engine; undefined: nothing. */
export function messageFaults(engine: number): Tamper | undefined {
  const active = activeFaults();
  const faults = active === undefined ? [] : messageFaultsOf(active, engine);
  return faults.length === 0 ? undefined : createTamper(faults);
}

export function createTamper(faults: readonly MessageFault[]): Tamper {
  const counts = new Map<string, number>();
  /** Messages that wait for a delayed one before them: a channel does not change their order. */
  let held: (() => void)[] | undefined;

  return (type, frame, post) => {
    const n = (counts.get(type) ?? 0) + 1;
    counts.set(type, n);
    const fault = faults.find((one) => one.message === type && isIn(one.n, n));
    if (fault?.kind === 'drop') return;
    if (fault?.kind === 'corrupt') frame.bytes[frame.bytes.length >> 1]! ^= 0x10;
    const deliver = (): void => {
      post(frame);
      if (fault?.kind === 'duplicate') post(frame);
    };
    if (held !== undefined) held.push(deliver);
    else if (fault?.kind === 'delay') {
      held = [deliver];
      setTimeout(() => {
        const waiting = held!;
        held = undefined;
        for (const one of waiting) one();
      }, fault.ms);
    } else deliver();
  };
}
