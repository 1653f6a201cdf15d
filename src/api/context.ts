import type { Serving } from '../serving/index.js';
import type { Logger, Metrics } from '../telemetry/index.js';
import type { Drain } from './drain.js';
import type { ClientLimits } from './limits/index.js';
import type { StreamStore } from './stream-store.js';

/** What the routes of one app share. */
export interface ApiContext {
  serving: Serving;
  metrics: Metrics;
  logger: Logger;
  drain: Drain;
  /** Undefined where a client that leaves ends its stream. */
  streams?: StreamStore;
  limits: ClientLimits;
}
