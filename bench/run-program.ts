import type { Command } from 'commander';

/** Parses the command line and runs a benchmark with its flags; a failure is one line and exit code 1. */
export async function runProgram<Flags extends object>(
  program: Command,
  main: (flags: Flags) => Promise<void>,
): Promise<void> {
  await program.parseAsync();
  try {
    await main(program.opts<Flags>());
  } catch (error) {
    console.error(`\n✗ ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  }
}
