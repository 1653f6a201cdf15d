import { describe, expect, it } from 'vitest';
import type { EngineMessage } from '../../src/engine/protocol.js';
import { createReceiver, createSender, type Frame, WireError } from '../../src/engine/wire.js';
import { createTamper, type Tamper } from '../../src/faults/message-faults.js';
import type { MessageFault } from '../../src/faults/spec.js';
import { parseFaults } from '../../src/faults/spec.js';

const log = (message: string): EngineMessage => ({ type: 'log', level: 'info', message });
const faulty = (spec: string): Tamper => createTamper(parseFaults(spec) as MessageFault[]);

/** A sender, and what arrives of its messages: each, or why not. */
function connect(tamper?: Tamper) {
  const arrived: unknown[] = [];
  const receive = createReceiver<EngineMessage>();
  const send = createSender<EngineMessage>((frame) => {
    try {
      const message = receive(structuredClone(frame));
      arrived.push(message === undefined ? 'again' : (message as { message: string }).message);
    } catch (error) {
      expect(error).toBeInstanceOf(WireError);
      arrived.push((error as Error).message);
    }
  }, tamper);
  const say = (...texts: string[]): void => {
    for (const text of texts) send(log(text));
  };
  return { arrived, say };
}

describe('messages between processes', () => {
  it('arrive as they were sent, with their typed arrays', () => {
    const frames: Frame[] = [];
    const message: EngineMessage = {
      type: 'step',
      events: [{ type: 'embedding', requestId: 'é', vector: Float32Array.of(1.5, -2) }],
      stats: { steps: 1 } as never,
    };
    createSender<EngineMessage>((frame) => frames.push(frame))(message);
    expect(createReceiver<EngineMessage>()(structuredClone(frames[0]))).toEqual(message);
  });

  it('that are lost are missed when the next one comes', () => {
    const { arrived, say } = connect(faulty('drop@message=log,n=2..3'));
    say('a', 'b', 'c', 'd');
    expect(arrived).toEqual(['a', 'messages 2 to 3 are missing']);
  });

  it('that change on their way are found out', () => {
    const { arrived, say } = connect(faulty('corrupt@message=log,n=2'));
    say('a', 'b');
    expect(arrived).toEqual(['a', 'message 2 came damaged']);
  });

  it('that come twice count once', () => {
    const { arrived, say } = connect(faulty('duplicate@message=log'));
    say('a', 'b');
    expect(arrived).toEqual(['a', 'again', 'b']);
  });

  it('that are late hold up those behind them', async () => {
    const { arrived, say } = connect(faulty('delay@message=log,n=2,ms=20'));
    say('a', 'b', 'c');
    expect(arrived).toEqual(['a']);
    await expect.poll(() => arrived).toEqual(['a', 'b', 'c']);
    say('d');
    expect(arrived).toEqual(['a', 'b', 'c', 'd']);
  });

  it('are nothing else', () => {
    const receive = createReceiver<EngineMessage>();
    for (const thing of [undefined, null, 'x', {}, { number: 1, bytes: [] }]) {
      expect(() => receive(thing)).toThrow(WireError);
    }
  });
});
