/**
 * An engine program that speaks the protocol and computes nothing. `config.modelPath` says what it does when it is told
 * to start; a request's first prompt token what it does then. As the real one, it leaves when its parent is gone.
 */
import { deserialize, serialize } from 'node:v8';
import { crc32 } from 'node:zlib';

const VERSION = 5;
const CRASH = 1;
const FALL_SILENT = 2;
const LOSE = 3;
const DAMAGE = 4;
const REPEAT = 5;

let sent = 0;
const send = (message) => {
  const bytes = serialize(message);
  const frame = { number: ++sent, checksum: crc32(bytes, sent), bytes };
  process.send(frame);
  return frame;
};
const stats = { steps: 0 };
const step = (events) => send({ type: 'step', events, stats: { steps: ++stats.steps } });

function start(config) {
  switch (config.modelPath) {
    case 'fatal':
      send({ type: 'fatal', message: 'The model does not fit.', hint: 'Take a smaller one.' });
      break;
    case 'crash':
      console.error('GGML_ASSERT(false) failed');
      process.exit(7);
      break;
    case 'hang':
      break;
    default:
      send({ type: 'progress', phase: 'weights', fraction: 0.5 });
      send({ type: 'log', level: 'warn', message: 'a note' });
      console.log('native output');
      send({ type: 'ready', info: { modelPath: config.modelPath, threads: process.pid }, stats });
  }
}

function add({ id, n, promptTokenIds }) {
  const choices = [...Array(n).keys()];
  switch (promptTokenIds[0]) {
    case CRASH:
      console.error('out of pages');
      process.kill(process.pid, 'SIGABRT');
      break;
    case FALL_SILENT:
      step([{ type: 'started', requestId: id, cachedTokens: 0 }]);
      break;
    case LOSE:
      sent++;
      answer(id, choices, 65);
      break;
    case DAMAGE:
      process.send({ number: sent + 1, checksum: 1, bytes: serialize({ type: 'pong' }) });
      answer(id, choices, 65);
      break;
    case REPEAT:
      process.send(answer(id, choices, 65));
      break;
    default:
      answer(id, choices, promptTokenIds[0]);
  }
}

function answer(id, choices, token) {
  return step(
    choices.flatMap((choice) => [
      { type: 'token', requestId: id, choice, token },
      { type: 'finished', requestId: id, choice, reason: 'length' },
    ]),
  );
}

function embed({ id, promptTokenIds }) {
  step([
    { type: 'embedding', requestId: id, vector: Float32Array.from(promptTokenIds, (token) => token / 2) },
    { type: 'finished', requestId: id, choice: 0, reason: 'stop' },
  ]);
}

process.on('disconnect', () => process.exit(0));
process.on('message', (frame) => {
  const message = deserialize(frame.bytes);
  if (message.type === 'start') start(message.config);
  if (message.type === 'add') add(message.request);
  if (message.type === 'embed') embed(message.request);
  if (message.type === 'abort') {
    step([{ type: 'finished', requestId: message.requestId, choice: message.choice ?? 0, reason: 'abort' }]);
  }
  if (message.type === 'shutdown') process.exit(0);
});
process.send({ type: 'hello', version: VERSION });
