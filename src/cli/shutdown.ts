/** Time within which the same signal again is an echo of the first, in milliseconds. */
const ECHO_MS = 500;

const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM'];

/**
 * Calls back on SIGINT, SIGTERM and, unless it means something else, SIGHUP (the terminal was closed): `gently` on the
 * first, `now` on the next.
 *
 * Ctrl-C under `npm start` arrives twice, from the terminal and passed on by npm: the same signal again at once is not
 * a user who has lost patience.
 *
 * @returns a function that stops listening
 */
export function onShutdownSignal(handlers: { hangup?: boolean; gently(): void; now(): void }): () => void {
  const signals = handlers.hangup === false ? SIGNALS : ([...SIGNALS, 'SIGHUP'] as const);
  let first: { signal: NodeJS.Signals; at: number } | undefined;
  const listener = (signal: NodeJS.Signals) => {
    if (first === undefined) {
      first = { signal, at: performance.now() };
      handlers.gently();
    } else if (signal !== first.signal || performance.now() - first.at > ECHO_MS) {
      handlers.now();
    }
  };
  for (const signal of signals) process.on(signal, listener);
  return () => {
    for (const signal of signals) process.off(signal, listener);
  };
}
