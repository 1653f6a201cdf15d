import type { Serving } from '../serving/index.js';
import type { Logger, Metrics } from '../telemetry/index.js';

/** What the routes of one app share. */
export interface ApiContext {
  serving: Serving;
  metrics: Metrics;
  logger: Logger;
}
