import { basename } from 'node:path';
import { ModelResolveError } from './errors.js';
import { modelStem } from './file-name.js';
import { GgufError, type GgufInfo, type GgufTensor, inspectGguf } from './gguf.js';

/**
 * Checks the headers of all files of a model before llama.cpp sees them, and returns the tensors of all.
 *
 * @throws ModelResolveError with one line that says what is wrong with which file.
 */
export async function checkModel(paths: readonly string[]): Promise<GgufTensor[]> {
  const infos = await Promise.all(paths.map(inspect));
  const first = infos[0]!;
  const kind = first.metadata.get('general.type') ?? 'model';
  if (first.architecture === '' || kind !== 'model') {
    throw new ModelResolveError(
      `${paths[0]} is no language model${kind === 'model' ? '' : ` but: ${kind}`}`,
      'Name the file with the model itself.',
    );
  }
  for (const [i, { split }] of infos.entries()) {
    if (split.count === paths.length && split.index === i) continue;
    throw new ModelResolveError(
      `${paths[i]} is part ${split.index + 1} of ${split.count} of a model, by its contents`,
      `Give the parts their names back: ${modelStem(basename(paths[i]!))}-00001-of-… and so on.`,
    );
  }
  return infos.flatMap(({ tensors }) => tensors);
}

async function inspect(path: string): Promise<GgufInfo> {
  try {
    return await inspectGguf(path);
  } catch (error) {
    if (error instanceof GgufError) {
      throw new ModelResolveError(`${path}: ${error.message}`, 'Get the file again.', { cause: error });
    }
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ModelResolveError(`${path} cannot be read: ${code ?? message}`, undefined, { cause: error });
  }
}
