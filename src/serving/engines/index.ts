export {
  type EngineClient,
  type EngineFailure,
  EngineStartError,
  type EngineStartHooks,
  type StartEngine,
} from './engine-client.js';
export { spawnEngine } from './engine-process.js';
export type { EngineStatus, SupervisedEngine } from './supervised-engine.js';
export { superviseEngine } from './supervisor.js';
