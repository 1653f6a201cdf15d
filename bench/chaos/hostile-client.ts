import { connect } from 'node:net';
import type { HostileRequest } from './hostile-bodies.js';

/** After this an answer counts as never coming. Forms of answers may wait for several others, 5 s each. */
const HANG_MS = 60_000;
/** Of an answer this much is looked at. */
const KEPT_BYTES = 4096;

/** Status of the answer. @throws Error when it is none that a server may give */
export async function sendRequest(url: string, { method, path, body }: HostileRequest): Promise<number> {
  const response = await fetch(`${url}${path}`, {
    method,
    ...(body !== undefined && { body, headers: { 'content-type': 'application/json' } }),
    signal: AbortSignal.timeout(HANG_MS),
  });
  const text = await response.text();
  if (response.status >= 500 || (response.status >= 400 && !text.includes('error'))) {
    throw new Error(`${response.status} ${text.slice(0, 500)}`);
  }
  return response.status;
}

/**
 * Writes the bytes, says that there are no more, and waits until the server has closed the connection.
 *
 * @returns The first status of the answer; 0 when there is none.
 * @throws Error when the server answers with a fault, or does not close the connection
 */
export function sendBytes(url: string, bytes: Buffer): Promise<number> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true });
    let answer = '';
    let isHanging = false;
    const hang = setTimeout(() => {
      isHanging = true;
      socket.destroy();
    }, HANG_MS);
    socket.on('data', (data) => {
      if (answer.length < KEPT_BYTES) answer += data.toString('latin1');
    });
    // The server may close, or reset, while there is still something to write.
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      clearTimeout(hang);
      const fault = /^HTTP\/1\.1 5\d\d.*$/m.exec(answer)?.[0];
      if (isHanging)
        reject(new Error(`the connection is still open after ${HANG_MS / 1000} s: ${answer.slice(0, 200)}`));
      else if (fault !== undefined) reject(new Error(answer.slice(0, 500)));
      else resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0));
    });
    socket.end(bytes);
  });
}
