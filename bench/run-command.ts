import { spawn } from 'node:child_process';

/**
 * Runs a command to its end and returns what it wrote to standard output.
 *
 * @param onLine called with every line of either stream as it comes
 * @throws Error with the last lines of output when it fails, or saying that the command has to be installed.
 */
export function runCommand(command: string, args: readonly string[], onLine?: (line: string) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const output: Record<'stdout' | 'stderr', string> = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      child[name].setEncoding('utf8');
      child[name].on('data', (text: string) => {
        output[name] += text;
        for (const line of text.split('\n')) if (line.trim() !== '') onLine?.(line);
      });
    }
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? new Error(`\`${command}\` is needed and not installed`) : error);
    });
    child.once('close', (code) => {
      if (code === 0) return resolve(output.stdout);
      const tail = `${output.stdout}\n${output.stderr}`.trim().split('\n').slice(-20).join('\n  ');
      reject(new Error(`${command} ${args.join(' ')} failed:\n  ${tail}`));
    });
  });
}
