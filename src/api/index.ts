export {
  digestOf,
  type KeyEntry,
  KeyFileError,
  newApiKey,
  parseKeyFile,
  SCOPES,
  type Scope,
  withKey,
} from './access/index.js';
export { type AppOptions, createApp } from './app.js';
export { createServer, type QuireServer, type ServerOptions } from './create-server.js';
export { type ListenOptions, listen, type RunningServer } from './server.js';
export type { TlsFiles } from './tls.js';
