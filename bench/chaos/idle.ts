import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { startQuire } from '../../test/support/quire-process.js';
import { type Outcome, send } from './load-client.js';

export interface IdleReport {
  /** Connections that were open when the request was sent; fewer than asked for where the system allows no more. */
  connections: number;
  outcome: Outcome;
}

/** Opens so many connections that say nothing, and asks one question beside them. */
export async function runIdle(model: string, wanted: number): Promise<IdleReport> {
  const quire = startQuire(['serve', '--model', model, '--port', '0', '--max-model-len', '1024']);
  const sockets: Socket[] = [];
  try {
    const url = (await quire.seen(/ready at (http:\S+)/))[1]!;
    const port = Number(new URL(url).port);
    while (sockets.length < wanted) {
      const socket = connect(port, '127.0.0.1');
      try {
        await once(socket, 'connect');
      } catch {
        break;
      }
      socket.on('error', () => {});
      sockets.push(socket);
    }
    const outcome = await send(url, 'none', [1000, 2000, 3000], 8);
    return { connections: sockets.filter((socket) => !socket.destroyed && socket.writable).length, outcome };
  } finally {
    for (const socket of sockets) socket.destroy();
    quire.kill();
  }
}
