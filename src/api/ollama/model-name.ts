import { ModelNotFoundError, type Serving } from '../../serving/index.js';

const DEFAULT_TAG = ':latest';

/** A model's name as Ollama's clients expect it, always with a tag. */
export function toOllamaName(id: string): string {
  return id.includes(':') ? id : id + DEFAULT_TAG;
}

/**
 * The name that serving knows a model by; Ollama's clients add the tag `latest` to names without one.
 * @throws ModelNotFoundError
 */
export function servedName(serving: Serving, name: string): string {
  try {
    serving.resolveModel(name);
    return name;
  } catch (error) {
    if (!(error instanceof ModelNotFoundError) || !name.endsWith(DEFAULT_TAG)) throw error;
    const untagged = name.slice(0, -DEFAULT_TAG.length);
    serving.resolveModel(untagged);
    return untagged;
  }
}
