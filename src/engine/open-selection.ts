import { buildKernel, KernelBuildError } from '../attention/index.js';
import { loadNativeSelection, portableSelection, type TokenSelection } from '../selection/index.js';

/** Token selection for a vocabulary of this size: native where there is a compiler. */
export async function openSelection(vocabSize: number): Promise<TokenSelection> {
  try {
    const { path } = await buildKernel();
    return loadNativeSelection(path, vocabSize);
  } catch (error) {
    if (error instanceof KernelBuildError) return portableSelection;
    throw error;
  }
}
