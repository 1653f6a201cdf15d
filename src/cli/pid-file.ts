import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { CliError } from './cli-error.js';

/**
 * Says in a file which process serves. It appears whole, and whoever takes over later writes its own id there.
 *
 * @returns Removes the file, unless it names another process by then.
 * @throws {CliError} when it cannot be written
 */
export function writePidFile(path: string): () => void {
  const own = `${process.pid}\n`;
  const temporary = `${path}.${process.pid}`;
  try {
    writeFileSync(temporary, own);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw new CliError(`cannot write the file of --pid-file: ${(error as Error).message}`, {
      hint: 'Name a file in a folder that this user may write to.',
      cause: error,
    });
  }
  return () => {
    try {
      if (readFileSync(path, 'utf8') === own) rmSync(path);
    } catch {
      // Somebody has removed it.
    }
  };
}
