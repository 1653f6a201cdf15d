export { createLogger, type Logger, type LoggerOptions, type LogLevel } from './log.js';
export { createMetrics, type EngineIdentity, type EngineReading, type Metrics, type RequestTimer } from './metrics.js';
