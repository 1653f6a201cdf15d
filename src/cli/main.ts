import { Command, CommanderError } from 'commander';
import { ServingOptionsError } from '../serving/index.js';
import { benchCommand } from './bench.js';
import { chatCommand } from './chat.js';
import { CliError, describeError } from './cli-error.js';
import { doctorCommand } from './doctor.js';
import { keysCommand } from './keys.js';
import { pullCommand } from './pull.js';
import { serveCommand } from './serve.js';
import { packageVersion } from './version.js';

const HELP = `
Examples:
  quire serve                                  serve the small default model on http://127.0.0.1:8000
  quire serve ./model.gguf --port 9000         serve a GGUF file
  quire serve hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q8_0
  quire chat --url http://127.0.0.1:8000       talk with it
  quire doctor                                 what this machine can do, and what is missing

\`quire <command> --help\` explains a command and its flags.`;

/**
 * Runs the command line and sets the exit code: 0 on success, 1 when a command fails, 2 when the command line is wrong.
 *
 * @param args without node and script
 */
export async function main(args: readonly string[]): Promise<void> {
  const program = new Command('quire')
    .description('Serves large language models: many requests share one running batch and their KV cache pages.')
    .version(packageVersion(), '-V, --version')
    .addHelpText('after', HELP);
  for (const command of [
    serveCommand(),
    chatCommand(),
    pullCommand(),
    keysCommand(),
    doctorCommand(),
    benchCommand(),
  ]) {
    program.addCommand(command);
  }
  for (const command of [program, ...program.commands.flatMap((command) => [command, ...command.commands])]) {
    // Commander would print and exit by itself: errors of all kinds are reported below instead.
    command.exitOverride().configureOutput({ outputError: () => {} });
  }
  process.stdout.on('error', leaveWhenNobodyReads);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    process.exitCode = reportError(error);
  }
}

/** As SIGPIPE does to other programs: `quire chat | head -1` is done when `head` is. */
function leaveWhenNobodyReads(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
}

function reportError(error: unknown): number {
  if (!(error instanceof CommanderError)) {
    process.stderr.write(describeError(error));
    if (error instanceof ServingOptionsError) return 2;
    return error instanceof CliError ? error.exitCode : 1;
  }
  // Help and version come as "errors" with exit code 0, already printed. So does help for a missing command, with 1.
  if (error.exitCode === 0) return 0;
  if (error.code === 'commander.help') return 2;
  const message = error.message.replace(/^error: /, '').replaceAll('\n', ' ');
  process.stderr.write(describeError(new CliError(message, { hint: 'See `quire --help`.' })));
  return 2;
}
