export {
  type EngineClient,
  type EngineFailure,
  EngineStartError,
  type EngineStartHooks,
  type StartEngine,
} from './engine-client.js';
export { spawnEngine } from './engine-process.js';
export { type SupervisedEngine, superviseEngine } from './supervisor.js';
