import { type ChildProcess, spawn } from 'node:child_process';
import type { Server } from 'node:net';

/** In the environment of a process that is to take over from the one that started it. */
const TAKES_OVER = 'QUIRE_TAKES_OVER';

type FromSuccessor = { type: 'loaded' } | { type: 'listening' };
type FromPredecessor = { type: 'socket' } | { type: 'sockets'; count: number };

/**
 * A new process with this one's command line, environment and folder, from whatever code lies there now. It loads the
 * model, asks for the sockets and listens.
 */
export interface Successor {
  pid: number | undefined;
  /** Resolves when it listens, and rejects with why it does not; it has ended then. */
  listening: Promise<void>;
  /** Ends it, as long as it does not listen. */
  giveUp(): void;
}

export function startSuccessor(sockets: readonly Server[]): Successor {
  const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    env: { ...process.env, [TAKES_OVER]: '1' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const listening = new Promise<void>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      reject(new Error(signal === null ? `it ended with exit code ${code}` : `it ended with ${signal}`));
    });
    child.on('message', (message: FromSuccessor) => {
      if (message.type === 'loaded') handOver(child, sockets);
      else resolve();
    });
  });
  return {
    pid: child.pid,
    listening: listening.then(() => {
      // It outlives this process.
      child.disconnect();
      child.unref();
    }),
    giveUp: () => void child.kill('SIGTERM'),
  };
}

function handOver(child: ChildProcess, sockets: readonly Server[]): void {
  // If it cannot be sent, the child is gone: that is told elsewhere.
  const send = (message: FromPredecessor, socket?: Server): void => {
    child.send(message, socket, () => {});
  };
  for (const socket of sockets) send({ type: 'socket' }, socket);
  send({ type: 'sockets', count: sockets.length });
}

/** The process that serves until this one does. */
export interface Predecessor {
  /**
   * Asks for its sockets, to be called when requests can be answered. Each comes to `listen` in the turn of the event loop
   * in which it arrives: whoever connects from then on is a client of this process, too.
   */
  takeSockets(listen: (socket: Server) => Promise<unknown>): Promise<void>;
  /** Tells it to leave: this process serves now. */
  dismiss(): void;
  /** Called if it ends before that. */
  onLost(callback: () => void): void;
}

/** Undefined for a process that a user has started. Takes the variable that says so out of the environment. */
export function findPredecessor(): Predecessor | undefined {
  const takesOver = process.env[TAKES_OVER] !== undefined;
  delete process.env[TAKES_OVER];
  if (!takesOver || process.send === undefined) return undefined;
  const send = (message: FromSuccessor): void => {
    process.send?.(message, undefined, undefined, () => {});
  };
  let dismissed = false;
  // To wait for it is no reason to stay when serving has failed.
  process.channel?.unref();

  return {
    takeSockets(listen) {
      const listening: Promise<unknown>[] = [];
      return new Promise((resolve, reject) => {
        process.on('message', (message: FromPredecessor, socket: unknown) => {
          if (message.type === 'socket') listening.push(listen(socket as Server));
          else if (listening.length === message.count) Promise.all(listening).then(() => resolve(), reject);
          else reject(new Error('the process before did not hand over its sockets'));
        });
        send({ type: 'loaded' });
      });
    },
    dismiss() {
      dismissed = true;
      send({ type: 'listening' });
    },
    onLost(callback) {
      process.once('disconnect', () => {
        process.removeAllListeners('message');
        if (!dismissed) callback();
      });
    },
  };
}
