export { type Caller, callerOf, TIMEOUT_HEADER } from './caller.js';
export { type AllowedRequest, type ClientLimitOptions, ClientLimits } from './client-limits.js';
