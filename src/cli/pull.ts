import { Command } from 'commander';
import { DEFAULT_MODEL, type ResolveProgress, resolveModel } from '../serving/models/index.js';
import { createProgressBar, type Progress } from './progress.js';

interface PullFlags {
  requantize: string;
}

const HELP = `
Examples:
  quire pull                                   the small default model
  quire pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q8_0
  quire pull https://example.com/model.gguf

A download that was interrupted goes on where it ended. Models lie in ~/.cache/quire/models; QUIRE_CACHE names another
folder, HF_TOKEN opens gated repositories, HF_ENDPOINT names a mirror of Hugging Face.`;

/** `quire pull [model]`: fetches and prepares a model, so that `serve` starts at once and without a network. */
export function pullCommand(): Command {
  return new Command('pull')
    .summary('fetch a model into the cache')
    .description('Fetches a model into the cache, checks it, and prints the path of its file.')
    .argument('[model]', 'hf:user/repo[:quant], an https URL, or a name of the catalog', DEFAULT_MODEL)
    .option('--requantize <type>', 're-encode weights that a CPU has no fast path for: auto, off, or a type', 'auto')
    .addHelpText('after', HELP)
    .action(async (model: string, { requantize }: PullFlags) => {
      const interrupt = new AbortController();
      const stop = () => interrupt.abort();
      process.once('SIGINT', stop).once('SIGTERM', stop);
      const bar = createProgressBar();
      try {
        const resolved = await resolveModel(model, {
          requantize,
          signal: interrupt.signal,
          onProgress: (progress) => bar.update(describeProgress(progress)),
        });
        bar.end();
        for (const note of resolved.notes) process.stderr.write(`${note}\n`);
        process.stdout.write(`${resolved.path}\n`);
      } catch (error) {
        bar.end();
        if (!interrupt.signal.aborted) throw error;
        process.stderr.write('interrupted; the same command goes on from here\n');
        process.exitCode = 130;
      } finally {
        process.off('SIGINT', stop).off('SIGTERM', stop);
      }
    });
}

const ACTIVITIES: Record<ResolveProgress['phase'], string> = {
  download: 'downloading',
  verify: 'verifying',
  requantize: 're-encoding to',
};

function describeProgress({ phase, name, done, total }: ResolveProgress): Progress {
  return { label: `${ACTIVITIES[phase]} ${name}`, done, total, unit: 'bytes' };
}
