import { fileURLToPath } from 'node:url';

/** A worker's program lies in `dist/` also when this file runs from `src/`: threads are started from JavaScript. */
export function workerEntry(name: string): string {
  const folder = import.meta.url.endsWith('.ts') ? '../../dist/grammar/' : './';
  return fileURLToPath(new URL(`${folder}${name}.js`, import.meta.url));
}
