/**
 * The program of the process that re-encodes a model: arguments are source, target, type and threads. llama.cpp works
 * synchronously and may abort on a file it does not like, neither of which may happen to the server.
 */
import { endWithParent } from '../../end-with-parent.js';
import { fileFaults } from '../../faults/index.js';
import { loadLlama } from '../../llama/index.js';

endWithParent();
const [source, target, type, threads] = process.argv.slice(2) as [string, string, string, string];
try {
  loadLlama({ device: 'cpu' }).quantize(source, target, { type, threads: Number(threads) });
  fileFaults()?.write('requantize', Number.POSITIVE_INFINITY);
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
