export type {
  EngineConfig,
  EngineInfo,
  EngineStats,
  FinishReason,
  LogLevel,
  Pooling,
  SamplingParams,
} from '../engine/protocol.js';
export { type EngineClient, type EngineFailure, EngineStartError, type EngineStartHooks } from './engines/index.js';
export {
  ContextLengthError,
  DeadlineError,
  EngineUnavailableError,
  LoadError,
  ModelNotFoundError,
  OverloadedError,
  RequestError,
  RequestFailedError,
} from './errors.js';
export { LLM, type LlmResult, type LlmSampling } from './llm.js';
export type { ServingParts } from './load-backend.js';
export {
  flagOf,
  parseServingOptions,
  type ServingOptions,
  ServingOptionsError,
  type ServingOptionsInput,
  servingOptions,
} from './options.js';
export { defaultSampling } from './sampling-defaults.js';
export { createServing, type LoadingServing } from './serving.js';
export type { ModelText } from './text/index.js';
export type * from './types.js';
