import { destination, type Logger, pino } from 'pino';
import pinoPretty from 'pino-pretty';

export type { Logger } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

export interface LoggerOptions {
  /** Default `info`. */
  level?: LogLevel;
  /** Lines for people instead of JSON; default: whether stderr is a terminal. */
  pretty?: boolean;
}

const STDERR = 2;

/**
 * The one logger of a process. It writes to stderr, because stdout belongs to what a command answers, and synchronously,
 * so that the last line before a crash is not lost.
 */
export function createLogger(options: LoggerOptions = {}): Logger {
  const { level = 'info', pretty = process.stderr.isTTY === true } = options;
  const stream = pretty
    ? pinoPretty({ destination: STDERR, sync: true, ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l' })
    : destination({ fd: STDERR, sync: true });
  return pino({ level }, stream);
}
