import { buildKernel } from '../../src/attention/index.js';
import { loadKernelLibrary } from '../../src/attention/kernel-library.js';
import { loadLlama } from '../../src/llama/index.js';

/** What computes here, besides the machine itself: e.g. `llama.cpp 0.5.0 (zen4), kernel avx512 (cc 12.2.0)`. */
export async function versionsLine(): Promise<string> {
  const { version, cpuBackend } = loadLlama({ device: 'cpu' });
  const { path, compiler } = await buildKernel();
  return `llama.cpp ${version} (${cpuBackend}), kernel ${loadKernelLibrary(path).level(0)} (${compiler})`;
}
