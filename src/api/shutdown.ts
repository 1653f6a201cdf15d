import { setTimeout as sleep } from 'node:timers/promises';
import type { Serving } from '../serving/index.js';
import type { Drain } from './drain.js';
import type { RunningServer } from './server.js';

export interface ShutdownOptions {
  /** How long new requests are still taken after probes have begun to say that there should be none, in ms; default 0. */
  delayMs?: number;
  /** Another process listens on the sockets now. */
  handedOver?: boolean;
}

const DEFAULT_GRACE_MS = 10_000;

/** How long clients that are told of an error at the end have to read it. */
const FLUSH_MS = 1000;

/**
 * How long a connection may be idle that was there before another process took the socket over: its client may have sent a
 * request already, and would have to be told that it was in vain.
 */
const LINGER_MS = 1000;

/**
 * Shuts a server down without breaking an answer off in the middle: see `QuireServer.close`.
 *
 * A socket of this process alone stays open until the end, so that probes and new requests are told 503 instead of being
 * refused. One that other processes have, too, is left to them at once,
 * and the requests that come on its connections are answered.
 */
export function createShutdown(parts: { serving: Serving; drain: Drain; listening: readonly RunningServer[] }) {
  const { serving, drain, listening } = parts;
  const hurry = new AbortController();
  const hurried = new Promise<void>((resolve) => hurry.signal.addEventListener('abort', () => resolve()));
  let closed: Promise<void> | undefined;

  async function run({ delayMs = 0, handedOver = false }: ShutdownOptions): Promise<void> {
    drain.announce();
    for (const running of listening) running.announceClose();
    const pause = (ms: number) => sleep(ms, undefined, { signal: hurry.signal, ref: false }).catch(() => {});
    if (handedOver || listening.some(({ isShared }) => isShared)) {
      await Promise.race([Promise.all(listening.map((running) => running.leave(LINGER_MS))), hurried]);
    } else {
      if (delayMs > 0) await pause(delayMs);
      drain.refuse();
      await Promise.race([Promise.all([drain.idle(), ...listening.map((running) => running.settled())]), hurried]);
    }
    drain.end();
    await Promise.all(listening.map((running) => running.close(FLUSH_MS)));
    await serving.close();
  }

  return async (graceMs = DEFAULT_GRACE_MS, options: ShutdownOptions = {}): Promise<void> => {
    const timer = setTimeout(() => hurry.abort(), graceMs + (options.delayMs ?? 0));
    closed ??= run(options);
    await closed.finally(() => clearTimeout(timer));
  };
}
