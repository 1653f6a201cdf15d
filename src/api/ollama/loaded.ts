import type { GenerationFields } from './options.js';

/** What Ollama answers to a request without a prompt, which asks to load the model or, with `keep_alive` 0, to drop it. */
export function loadedReason({ keep_alive }: Pick<GenerationFields, 'keep_alive'>): 'load' | 'unload' {
  return keep_alive === 0 || /^0+[a-z]*$/.test(String(keep_alive)) ? 'unload' : 'load';
}
