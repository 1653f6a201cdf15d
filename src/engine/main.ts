/**
 * The engine process: runs {@link Engine.step} as long as there is work, takes messages from the gateway between steps,
 * and sends what each step produced in one message. It ends when the gateway says so or is gone.
 */
import { endWithParent } from '../end-with-parent.js';
import { engineFaults, engineNumber, messageFaults } from '../faults/index.js';
import { type LoadedEngine, loadEngine } from './load-engine.js';
import { type EngineMessage, type GatewayMessage, PROTOCOL_VERSION } from './protocol.js';
import { createReceiver, createSender } from './wire.js';

let loaded: LoadedEngine | undefined;
let looping = false;
let wakeTimer: NodeJS.Timeout | undefined;

endWithParent();
// The gateway decides when the engine ends: a signal to the whole process group must not cut running answers off.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});
process.on('SIGHUP', () => {});
process.on('disconnect', () => process.exit(0));
process.on('uncaughtException', die);
process.on('unhandledRejection', die);
const send = createSender<EngineMessage>(
  (frame, onSent) => process.send?.(frame, undefined, undefined, onSent),
  messageFaults(engineNumber()),
);
const receive = createReceiver<GatewayMessage>();
process.on('message', (frame) => {
  const message = receive(frame);
  if (message !== undefined) handle(message);
});
process.send?.({ type: 'hello', version: PROTOCOL_VERSION });

function handle(message: GatewayMessage): void {
  switch (message.type) {
    case 'start':
      if (message.version !== PROTOCOL_VERSION) {
        die(new Error(`the gateway speaks protocol ${message.version}, this engine ${PROTOCOL_VERSION}`));
        return;
      }
      start(message).catch(die);
      return;
    case 'add':
      loaded?.engine.add(message.request);
      wake();
      return;
    case 'embed':
      loaded?.engine.embed(message.request);
      wake();
      return;
    case 'abort':
      loaded?.engine.abort(message.requestId, message.choice);
      wake();
      return;
    case 'ping':
      send({ type: 'pong' });
      return;
    case 'shutdown':
      loaded?.dispose();
      process.exit(0);
  }
}

async function start({ config, keptMemory }: Extract<GatewayMessage, { type: 'start' }>): Promise<void> {
  loaded = await loadEngine(config, {
    keptMemory,
    onProgress: (phase, fraction) => send({ type: 'progress', phase, fraction }),
    onLog: (level, message) => send({ type: 'log', level, message }),
    onChange: wake,
    onAdmitted: (requestIds) => send({ type: 'admitted', requestIds }),
    faults: engineFaults(),
  });
  send({ type: 'ready', info: loaded.info, stats: loaded.engine.stats(), keptMemory: loaded.keptMemory });
}

function wake(): void {
  clearTimeout(wakeTimer);
  if (looping || loaded === undefined) return;
  looping = true;
  setImmediate(loop);
}

/**
 * One step, then the event loop gets its turn: that is when messages come in. Nothing of it overlaps with the next
 * decode: planning, choosing and sending for 32 greedy sequences take 0.2 ms of a step of 60.
 */
function loop(): void {
  const { engine } = loaded!;
  const computed = engine.step();
  send({ type: 'step', events: engine.takeEvents(), stats: engine.stats() });
  if (computed) {
    setImmediate(loop);
    return;
  }
  looping = false;
  if (engine.hasWork()) wakeTimer = setTimeout(wake, Math.max(1, (engine.wakeAt() ?? 0) - performance.now()));
  else engine.check();
}

/** Says why, and leaves: after a failed step the state of the batch is unknown, and a fresh process is cheap. */
function die(cause: unknown): void {
  const error = cause instanceof Error ? cause : new Error(String(cause));
  const hint = 'hint' in error && typeof error.hint === 'string' ? error.hint : undefined;
  const message: EngineMessage = { type: 'fatal', message: error.message, ...(hint !== undefined && { hint }) };
  send(message, () => process.exit(1));
  // Where the channel takes no more, the gateway is told by the end itself.
  setTimeout(() => process.exit(1), 5_000);
}
