export { LlamaBatch } from './batch.js';
export {
  type ContextOptions,
  type DecodeCall,
  decodeTogether,
  type KVType,
  type LlamaContext,
  type LlamaMemory,
  type LlamaState,
} from './context.js';
export { FILE_TYPES, type FileType } from './file-types.js';
export type { Device } from './libraries.js';
export { type Llama, type LlamaDevice, type LoadLlamaOptions, loadLlama, type QuantizeOptions } from './llama.js';
export { LlamaError } from './llama-error.js';
export type { LlamaModel, LoadMode, LoadModelOptions, RopeType } from './model.js';
export type { LogListener } from './native-log.js';
export type { ThreadPool, ThreadPoolOptions } from './thread-pool.js';
export type { LlamaVocab, TokenizeOptions, VocabType } from './vocab.js';
