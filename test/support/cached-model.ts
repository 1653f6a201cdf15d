import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Path of a model file, written on first use and kept in the system's folder for temporary files. A file is as good as
 * the recipe and the code that made it: another of either makes another file.
 */
export function cachedModel(recipe: string, write: (path: string) => void): string {
  const directory = join(tmpdir(), 'quire-test-models');
  mkdirSync(directory, { recursive: true });
  const path = join(
    directory,
    `${createHash('sha256').update(recipe).update(writers()).digest('hex').slice(0, 16)}.gguf`,
  );
  if (!existsSync(path)) {
    const unfinished = `${path}.${process.pid}`;
    write(unfinished);
    renameSync(unfinished, path);
  }
  return path;
}

/** Sources of everything here that writes models. */
function writers(): string {
  const folder = fileURLToPath(new URL('.', import.meta.url));
  const sources = readdirSync(folder).filter((name) => /^(random|gguf)-.*\.ts$/.test(name));
  return sources.map((name) => readFileSync(join(folder, name), 'utf8')).join('');
}
