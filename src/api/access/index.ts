export { type ApiKey, digestOf, newApiKey, SCOPES, type Scope } from './api-key.js';
export { asClient, isolateClients } from './client-serving.js';
export { type KeyEntry, KeyFileError, parseKeyFile, withKey } from './key-file.js';
export { createKeyRing, type KeyRing, type KeyRingOptions } from './key-ring.js';
export { limitDepth, MAX_DEPTH, parseJson } from './limit-depth.js';
export { requestId } from './request-id.js';
export { type ClientVariables, requireKey } from './require-key.js';
export { watchFiles } from './watch-files.js';
