import { unwatchFile, watchFile } from 'node:fs';

/** Long enough to cost nothing, short enough to wait for. */
const INTERVAL_MS = 1000;

/**
 * Calls back when a file has changed, has come or has gone. It looks once a second instead of being told: notices are lost where a
 * file is replaced by renaming, as editors, certbot and Kubernetes do, and do not come at all from network file systems.
 *
 * @returns a function that stops it
 */
export function watchFiles(paths: readonly string[], onChange: () => void): () => void {
  const listener = (): void => onChange();
  for (const path of paths) watchFile(path, { interval: INTERVAL_MS, persistent: false }, listener);
  return () => {
    for (const path of paths) unwatchFile(path, listener);
  };
}
