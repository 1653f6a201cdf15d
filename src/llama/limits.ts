/** llama.cpp's compile-time limits: `LLAMA_MAX_SEQ`, `GGML_MAX_N_THREADS`. */
export const MAX_SEQUENCES = 256;
export const MAX_THREADS = 512;

/** llama.cpp ends the process over sizes that it does not expect. @throws RangeError unless 1 ≤ value ≤ most. */
export function checkSize(name: string, value: number, most = 2 ** 31 - 1): void {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new RangeError(`${name} is ${value}, not an integer from 1 to ${most}`);
  }
}
