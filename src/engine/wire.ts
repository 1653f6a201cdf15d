/**
 * Messages between gateway and engine, numbered and with a checksum: what is lost, changed or out of order on the way is
 * noticed by whoever gets the next message, before any of it is acted on. What the gateway does then is what it does about
 * an engine that has died: it starts another one and goes on from what it has told its clients.
 *
 * Only `hello` goes without, so that any two versions can tell each other so.
 */
import { deserialize, serialize } from 'node:v8';
import { crc32 } from 'node:zlib';
import type { Tamper } from '../faults/index.js';

/** What goes over the channel. */
export interface Frame {
  /** 1, 2, … in each direction. */
  number: number;
  /** Over the number and the bytes. */
  checksum: number;
  bytes: Uint8Array;
}

/** Messages have been lost or changed on the way. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

/** @param tamper What a test does to frames on their way. */
export function createSender<M extends { type: string }>(
  post: (frame: Frame, onSent?: () => void) => void,
  tamper?: Tamper,
): (message: M, onSent?: () => void) => void {
  let sent = 0;
  return (message, onSent) => {
    const bytes = serialize(message);
    const frame = { number: ++sent, checksum: crc32(bytes, sent), bytes };
    if (tamper === undefined) post(frame, onSent);
    else tamper(message.type, frame, (one) => post(one, onSent));
  };
}

/**
 * Returns what reads frames: the message, or undefined for one that has come before.
 * @throws WireError (the function that is returned) when messages are missing before this one, or it is damaged
 */
export function createReceiver<M extends { type: string }>(): (frame: unknown) => M | undefined {
  let received = 0;
  return (frame) => {
    if (!isFrame(frame)) throw new WireError('something came that is no message');
    const { number, checksum, bytes } = frame;
    if (crc32(bytes, number) !== checksum) throw new WireError(`message ${received + 1} came damaged`);
    if (number <= received) return undefined;
    if (number !== received + 1) throw new WireError(`messages ${received + 1} to ${number - 1} are missing`);
    received = number;
    return deserialize(bytes) as M;
  };
}

function isFrame(value: unknown): value is Frame {
  if (typeof value !== 'object' || value === null || !('number' in value) || !('bytes' in value)) return false;
  return typeof value.number === 'number' && value.bytes instanceof Uint8Array && 'checksum' in value;
}
