/** What programs import from `quire`. */
export { createApp, createServer, type QuireServer, type ServerOptions } from './api/index.js';
export type {
  ChatMessage,
  Generation,
  GenerationEvent,
  GenerationRequest,
  LlmResult,
  LlmSampling,
  ServedModel,
  Serving,
  ServingState,
  Usage,
} from './serving/index.js';
export { createServing, LLM } from './serving/index.js';
