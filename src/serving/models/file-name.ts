import { posix } from 'node:path';

/**
 * Names of models that come in several files: `name-00001-of-00003.gguf`, numbered from 1. llama.cpp is given the first
 * and finds the others by these names.
 */
const SPLIT_SUFFIX = /-(\d{5})-of-(\d{5})(\.gguf)$/i;

/** Names of all parts of the model that `name` (a file name, path or URL path) belongs to; itself when it is whole. */
export function splitParts(name: string): string[] {
  const match = SPLIT_SUFFIX.exec(name);
  const count = Number(match?.[2] ?? 0);
  if (!match || count === 0) return [name];
  const stem = name.slice(0, match.index);
  return Array.from({ length: count }, (_, i) => `${stem}-${String(i + 1).padStart(5, '0')}-of-${match[2]}${match[3]}`);
}

/** The file name without the part number and the ending `.gguf`. */
export function modelStem(fileName: string): string {
  return fileName.replace(SPLIT_SUFFIX, '').replace(/\.gguf$/i, '');
}

const WEIGHT_TYPE_SUFFIX = /[-._](I?Q\d\w*|TQ\d_\d|BF16|F16|F32|FP16|MXFP4\w*|NVFP4)$/i;

/** The weight type at the end of a file's name, in capitals, e.g. `Q4_K_M`; undefined where there is none. */
export function weightTypeOf(fileName: string): string | undefined {
  return WEIGHT_TYPE_SUFFIX.exec(modelStem(fileName))?.[1]?.toUpperCase();
}

/** A name to serve the model under: the file's name without part number, ending and weight type. */
export function servedName(fileName: string): string {
  return modelStem(fileName).replace(WEIGHT_TYPE_SUFFIX, '');
}

/** What a remote file, given its path or URL path, is called here: one name in one folder, whatever it is called there. */
export function localName(remotePath: string): string {
  // Not decoded: an encoded slash must not become a path. On Windows a backslash is one, and a colon names a stream.
  const name = posix.basename(remotePath).replace(/[^\w.+-]/g, '_');
  return /\.gguf$/i.test(name) ? name : `${name}.gguf`;
}
