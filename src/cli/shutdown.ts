/** Time within which the same signal again is an echo of the first, in milliseconds. */
const ECHO_MS = 500;

const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Calls back on SIGINT, SIGTERM and SIGHUP (the terminal was closed): `gently` on the first, `now` on the next.
 *
 * Ctrl-C under `npm start` arrives twice, from the terminal and passed on by npm: the same signal again at once is not
 * a user who has lost patience.
 *
 * @returns a function that stops listening
 */
export function onShutdownSignal(handlers: { gently(): void; now(): void }): () => void {
  let first: { signal: NodeJS.Signals; at: number } | undefined;
  const listener = (signal: NodeJS.Signals) => {
    if (first === undefined) {
      first = { signal, at: performance.now() };
      handlers.gently();
    } else if (signal !== first.signal || performance.now() - first.at > ECHO_MS) {
      handlers.now();
    }
  };
  for (const signal of SIGNALS) process.on(signal, listener);
  return () => {
    for (const signal of SIGNALS) process.off(signal, listener);
  };
}
