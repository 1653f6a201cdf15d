/**
 * Names of GGUF file types, as `llama-quantize` and model repositories spell them, and their values in `enum llama_ftype`
 * (llama.cpp, include/llama.h). Most of a file's matrices are of the type it is named after; vectors stay F32.
 */
export const FILE_TYPES = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q5_0: 8,
  Q5_1: 9,
  Q2_K: 10,
  Q3_K_S: 11,
  Q3_K_M: 12,
  Q3_K_L: 13,
  Q4_K_S: 14,
  Q4_K_M: 15,
  Q5_K_S: 16,
  Q5_K_M: 17,
  Q6_K: 18,
  IQ2_XXS: 19,
  IQ2_XS: 20,
  Q2_K_S: 21,
  IQ3_XS: 22,
  IQ3_XXS: 23,
  IQ1_S: 24,
  IQ4_NL: 25,
  IQ3_S: 26,
  IQ3_M: 27,
  IQ2_S: 28,
  IQ2_M: 29,
  IQ4_XS: 30,
  IQ1_M: 31,
  BF16: 32,
  TQ1_0: 36,
  TQ2_0: 37,
  MXFP4_MOE: 38,
  NVFP4: 39,
  Q1_0: 40,
  Q2_0: 41,
} as const;

export type FileType = keyof typeof FILE_TYPES;

/** Set by llama.cpp on a type that the file does not state and that it guessed from the tensors. */
const GUESSED = 1024;

const NAMES = new Map<number, string>(Object.entries(FILE_TYPES).map(([name, value]) => [value, name]));

/** Name of a `llama_ftype` value, guessed or stated; `unknown (<value>)` for one this build has no name for. */
export function fileTypeName(value: number): string {
  return NAMES.get(value & ~GUESSED) ?? `unknown (${value})`;
}

export function isFileType(name: string): name is FileType {
  return Object.hasOwn(FILE_TYPES, name);
}
