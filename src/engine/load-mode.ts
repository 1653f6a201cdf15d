import { statSync } from 'node:fs';
import type { LoadMode } from '../llama/index.js';
import { isGpu } from './kv-backend.js';
import type { EngineConfig } from './protocol.js';

/** Weights that take no more than this share of the free memory are read into it. */
const MEMORY_SHARE = 0.25;

/** A model in several files is large. */
const PART = /-\d{5}-of-\d{5}\.gguf$/;

/**
 * How to load weights. Read into memory, they get huge pages (`engineEnvironment` asks for them), which a file's mapping has
 * not: a step of few rows, which does little else than read weights, then takes less time. A mapping takes no memory of its
 * own, and is shared with whoever else has mapped the file.
 * @param availableMemory bytes
 */
export function loadModeFor(
  { loadMode, modelPath, device, kvBackend }: Pick<EngineConfig, 'loadMode' | 'modelPath' | 'device' | 'kvBackend'>,
  availableMemory: number,
): LoadMode {
  if (loadMode !== 'auto' || process.platform !== 'linux' || isGpu(device) || kvBackend === 'cells') return loadMode;
  const bytes = statSync(modelPath, { throwIfNoEntry: false })?.size ?? 0;
  return PART.test(modelPath) || bytes > MEMORY_SHARE * availableMemory ? 'mmap' : 'none';
}
