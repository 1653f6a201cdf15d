import type { QuireServer } from '../api/index.js';
import type { Logger } from '../telemetry/index.js';
import { type Successor, startSuccessor } from './successor.js';

/**
 * On SIGUSR2, starts another process like this one and hands the sockets over to it once it has loaded the model. If it
 * does not get that far, everything stays as it was.
 *
 * @param onReplaced Called when the other process serves.
 */
export function onUpgradeSignal(server: QuireServer, logger: Logger, onReplaced: () => void): { giveUp(): void } {
  let successor: Successor | undefined;
  let isOver = false;

  async function upgrade(): Promise<void> {
    if (isOver) return;
    if (successor !== undefined) {
      logger.warn(`Process ${successor.pid} is about to take over already.`);
      return;
    }
    successor = startSuccessor(server.listening().map(({ socket }) => socket));
    logger.info(`Process ${successor.pid} loads the model to take over from this one.`);
    try {
      await successor.listening;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      if (!isOver) logger.error(`Process ${successor.pid} did not take over: ${reason}. This one goes on.`);
      successor = undefined;
      return;
    }
    logger.info(`Process ${successor.pid} has taken over; this one ends when its answers have.`);
    successor = undefined;
    if (!isOver) onReplaced();
  }

  // Windows has no such signal.
  if (process.platform !== 'win32') process.on('SIGUSR2', upgrade);
  return {
    giveUp() {
      isOver = true;
      successor?.giveUp();
    },
  };
}
