export { type ActiveFaults, activeFaults, engineNumber, nextEngine } from './active.js';
export { type EngineFaults, engineFaults } from './engine-faults.js';
export { type FileFaults, fileFaults } from './file-faults.js';
export { messageFaults, type Tamper } from './message-faults.js';
export { FaultSpecError } from './spec.js';
