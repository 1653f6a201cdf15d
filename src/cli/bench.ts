import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { CliError } from './cli-error.js';

/** `quire bench`: the repository's benchmark, which reads its own flags. */
export function benchCommand(): Command {
  return new Command('bench')
    .summary('measure throughput and latency of a server')
    .description(
      'Measures throughput and latency of this engine, or of any OpenAI-compatible server given with --url. All flags ' +
        'go to the benchmark: `quire bench --help` lists them. It is part of the repository, not of the npm package.',
    )
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .action(async (_options: unknown, command: Command) => {
      const script = new URL('../../scripts/bench.mjs', import.meta.url);
      if (!existsSync(new URL('../../bench/main.ts', import.meta.url))) {
        throw new CliError('the benchmark is not part of this installation', {
          hint: "Clone Quire's repository and run `npm run bench` there.",
        });
      }
      process.argv = [process.execPath, fileURLToPath(script), ...command.args];
      await import(script.href);
    });
}
