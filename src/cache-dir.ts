import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * Folder for everything that can be made again: downloaded and re-encoded models, compiled kernels.
 * `$QUIRE_CACHE`, else `$XDG_CACHE_HOME/quire`, else `~/.cache/quire`. It may not exist yet.
 */
export function cacheDir(...segments: string[]): string {
  const root = process.env.QUIRE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'quire');
  return join(root, ...segments);
}
