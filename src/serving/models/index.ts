export { DEFAULT_MODEL } from './catalog.js';
export { ModelResolveError, NotInCacheError } from './errors.js';
export { GgufError, type GgufInfo, type GgufTensor, type GgufValue, inspectGguf, type WeightType } from './gguf.js';
export type { ResolveProgress } from './progress.js';
export { type ResolvedModel, type ResolveOptions, resolveModel } from './resolve-model.js';
