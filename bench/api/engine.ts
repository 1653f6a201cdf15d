/**
 * An engine process whose tokens cost nothing, for `bench/api.ts`. It speaks the engine's protocol over the engine's own
 * channel, so the gateway does for a token all that it does in a real server. Every running choice gets one token per
 * step, which says when it was emitted.
 *
 * `config.modelPath` is `PERIOD OFFSET`: the milliseconds between two steps, and of the first one after a multiple of
 * the period. Steps keep to this schedule, whether the gateway has taken the last one or not: one that is slow falls
 * behind, and its tokens arrive late. A period of 0 means: the next step as soon as there is something to do.
 */
import {
  type EngineConfig,
  type EngineEvent,
  type EngineMessage,
  type GatewayMessage,
  PROTOCOL_VERSION,
} from '../../src/engine/protocol.js';
import { createReceiver, createSender } from '../../src/engine/wire.js';
import { createFakeEngine } from '../../test/support/fake-engine.js';
import { emissionToken, monotonicMs, TICKS } from './emission-clock.js';

/** Far beyond any stream of a benchmark: none may end, or wait, for want of room. */
const ROOM = { vocabSize: TICKS, maxModelLen: 10_000_000, numBlocks: 1_000_000_000, maxNumSeqs: 100_000 };

let token = 0;
let events: EngineEvent[] = [];
let periodMs = 0;
let isScheduled = false;
const engine = createFakeEngine({ info: ROOM, pace: 'manual', token: () => token });

const send = createSender<EngineMessage>((frame) => process.send!(frame));
const receive = createReceiver<GatewayMessage>();

function step(): void {
  token = emissionToken();
  engine.step();
  if (events.length > 0) send({ type: 'step', events, stats: engine.stats() });
  events = [];
}

function stepOnSchedule(dueMs: number): void {
  step();
  const nextMs = dueMs + periodMs;
  setTimeout(stepOnSchedule, Math.max(0, nextMs - monotonicMs()), nextMs);
}

function stepWhileBusy(): void {
  isScheduled = false;
  step();
  const { runningSequences, waitingRequests } = engine.stats();
  if (runningSequences + waitingRequests > 0) stepSoon();
}

function stepSoon(): void {
  if (periodMs > 0 || isScheduled) return;
  isScheduled = true;
  setImmediate(stepWhileBusy);
}

function start({ modelPath }: EngineConfig): void {
  const [period, offsetMs] = modelPath.split(' ').map(Number) as [number, number];
  periodMs = period;
  send({ type: 'ready', info: engine.info, stats: engine.stats() });
  if (periodMs === 0) return;
  const firstMs = Math.ceil(monotonicMs() / periodMs) * periodMs + offsetMs;
  setTimeout(stepOnSchedule, firstMs - monotonicMs(), firstMs);
}

process.on('message', (frame) => {
  const message = receive(frame);
  switch (message?.type) {
    case 'start':
      start(message.config);
      break;
    case 'add':
      engine.submit(message.request, (own) => events.push(...own));
      stepSoon();
      break;
    case 'abort':
      engine.abort(message.requestId, message.choice);
      stepSoon();
      break;
    case 'shutdown':
      process.exit();
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ type: 'hello', version: PROTOCOL_VERSION });
