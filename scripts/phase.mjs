import { spawn } from 'node:child_process';
import process from 'node:process';

/**
 * Shows one line on stderr while `work` runs: a running clock on a terminal, a single line elsewhere. Standard output
 * stays free for the program itself.
 *
 * @template T
 * @param {string} label
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function phase(label, work) {
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  const terminal = process.stderr.isTTY;
  const show = (mark, end) => terminal && process.stderr.write(`\r\x1b[K${mark} ${label} (${seconds()})${end}`);
  if (!terminal) process.stderr.write(`${label} …\n`);
  show('…', '');
  const clock = setInterval(() => show('…', ''), 1000);
  try {
    const result = await work();
    show('✓', '\n');
    return result;
  } catch (error) {
    show('✗', '\n');
    throw error;
  } finally {
    clearInterval(clock);
  }
}

/**
 * Runs a command without showing its output.
 *
 * @param {string} command
 * @param {string[]} args
 * @param {import('node:child_process').SpawnOptions} [options]
 * @throws {Error} with everything the command printed, when it fails
 */
export async function runQuietly(command, args, options = {}) {
  const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  // A signal sent to this process alone must not leave the command running.
  const forward = (signal) => child.kill(signal);
  process.on('SIGINT', forward).on('SIGTERM', forward);
  try {
    await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        if (code === 0) resolve();
        else reject(new Error(`${output.trim()}\n${command} ${args.join(' ')} ended with ${signal ?? `code ${code}`}`));
      });
    });
  } finally {
    process.off('SIGINT', forward).off('SIGTERM', forward);
  }
}
