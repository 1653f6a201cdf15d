import { DEFAULT_MODEL, resolveModel } from '../../src/serving/models/index.js';

let path: Promise<string> | undefined;

/** Path of the default chat model, fetched into the user's cache on first use and re-encoded as `serve` would. */
export function defaultModelPath(): Promise<string> {
  path ??= resolveModel(DEFAULT_MODEL).then((model) => model.path);
  return path;
}
