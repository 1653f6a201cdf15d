import { type Stats, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';

/** Long enough to cost nothing, short enough to wait for. */
const INTERVAL_MS = 1000;

/**
 * Calls back when a file is not what it was at this call: it has changed, has come or has gone. It looks once a second instead of
 * being told: notices are lost where a file is replaced by renaming, as editors, certbot and Kubernetes do, and do not come at
 * all from network file systems. `fs.watchFile` looks for the first time only later: it would miss what changes until then.
 *
 * @returns a function that stops it
 */
export function watchFiles(paths: readonly string[], onChange: () => void): () => void {
  const seen = new Map(paths.map((path) => [path, signOf(statSync(path, { throwIfNoEntry: false }))]));
  let isLooking = false;
  let isOver = false;
  async function look(): Promise<void> {
    if (isLooking) return;
    isLooking = true;
    for (const path of paths) {
      const sign = signOf(await stat(path).catch(() => undefined));
      if (sign === seen.get(path)) continue;
      seen.set(path, sign);
      if (!isOver) onChange();
    }
    isLooking = false;
  }
  const timer = setInterval(() => void look(), INTERVAL_MS).unref();
  return () => {
    isOver = true;
    clearInterval(timer);
  };
}

function signOf(stats: Stats | undefined): string {
  return stats === undefined ? 'none' : `${stats.ino}/${stats.size}/${stats.mtimeMs}`;
}
