import type { MetadataValue } from './gguf-format.js';
import { writeGguf } from './gguf-writer.js';

/** Writes a GGUF file of a few hundred bytes whose header is right and which no engine could run. */
export function writeTinyGguf(path: string, metadata: Readonly<Record<string, MetadataValue>> = {}): void {
  const tensor = { name: 'output_norm.weight', shape: [8], type: 'F32' as const, values: () => [new Float32Array(8)] };
  const architecture: MetadataValue = { type: 'string', value: 'llama' };
  writeGguf(path, new Map(Object.entries({ 'general.architecture': architecture, ...metadata })), [tensor]);
}
