/**
 * A gateway process over fake engines, for `bench/api.ts`: the whole way from HTTP to serving and back is the real one,
 * only the tokens cost nothing. Every token is the number of the engine step that emitted it, so that whoever receives
 * its text can look up when that was.
 *
 * Arguments: how many engines the requests are spread over, and the milliseconds between two steps of an engine,
 * where 0 means: the next step as soon as the event loop turns.
 */
import { createApp, listen } from '../../src/api/index.js';
import { createServing, type EngineClient } from '../../src/serving/index.js';
import type { Vocabulary } from '../../src/serving/text/tokenizer.js';
import { createLogger } from '../../src/telemetry/index.js';
import { createFakeEngine, type FakeEngine, fakeServingParts } from '../../test/support/fake-engine.js';
import type { GatewayReport, GatewayRequest } from './gateway-process.js';
import { monotonicMs } from './monotonic.js';

/** Step numbers start over after this many, hours into a run. */
const VOCAB_SIZE = 1_000_000;
/** Far beyond any stream of a benchmark: none may end, or wait, for want of room. */
const ROOM = { vocabSize: VOCAB_SIZE, maxModelLen: 10_000_000, numBlocks: 1_000_000_000, maxNumSeqs: 100_000 };

const vocabulary: Vocabulary = {
  size: VOCAB_SIZE,
  bos: -1,
  eos: -1,
  addBos: false,
  tokenize: (text) => Int32Array.from(Buffer.from(text)),
  pieceBytes: (token) => Buffer.from(` ${token}`),
  isEndOfGeneration: () => false,
};

const CHAT_TEMPLATE = '{% for message in messages %}{{ message.content }}{% endfor %}';

const [engineCount, periodMs] = process.argv.slice(2).map(Number) as [number, number];

/** When each step of any engine emitted its tokens. */
const emittedMs: number[] = [];

/** An engine whose tokens are the number of their step among the steps of all engines. */
function createCountingEngine(): { engine: FakeEngine; stepOnSchedule(dueMs: number): void } {
  let step = -1;
  let number = 0;
  let due: number | undefined;
  const engine = createFakeEngine({
    info: ROOM,
    pace: periodMs === 0 ? 0 : 'manual',
    token() {
      const { steps } = engine.stats();
      if (steps !== step) {
        step = steps;
        number = emittedMs.push(due ?? monotonicMs()) - 1;
      }
      return number % VOCAB_SIZE;
    },
  });
  // A step counts as emitted when it was due, as it would be by a real engine in a process of its own: a gateway that
  // is too busy to take it in time is late, not the engine.
  const stepOnSchedule = (dueMs: number): void => {
    due = dueMs;
    engine.step();
    const nextMs = dueMs + periodMs;
    setTimeout(stepOnSchedule, Math.max(0, nextMs - monotonicMs()), nextMs);
  };
  return { engine, stepOnSchedule };
}

/** Several engines as one: requests go to them in turn, the first answers for all that is not about a request. */
function spread(engines: readonly FakeEngine[]): EngineClient {
  const engineOf = new Map<string, FakeEngine>();
  let submitted = 0;
  return {
    ...engines[0]!,
    submit(request, onEvents) {
      const engine = engines[submitted++ % engines.length]!;
      engineOf.set(request.id, engine);
      engine.submit(request, (events) => {
        if (events.some(({ type }) => type === 'finished')) engineOf.delete(request.id);
        onEvents(events);
      });
    },
    abort(requestId, choice) {
      engineOf.get(requestId)?.abort(requestId, choice);
    },
  };
}

const counting = Array.from({ length: engineCount }, createCountingEngine);
const engine = spread(counting.map((one) => one.engine));
const serving = createServing({ model: 'fake' }, fakeServingParts(engine, { vocabulary, chatTemplate: CHAT_TEMPLATE }));
await serving.whenReady();
const { url } = await listen(createApp(serving, { logger: createLogger({ level: 'silent' }) }), { port: 0 });
if (periodMs > 0) {
  // Engines do not step in time with each other.
  const beginMs = monotonicMs();
  for (const [i, { stepOnSchedule }] of counting.entries()) {
    const offsetMs = (i * periodMs) / engineCount;
    setTimeout(stepOnSchedule, offsetMs, beginMs + offsetMs);
  }
}

process.on('message', (request: GatewayRequest) => {
  const { user, system } = process.cpuUsage();
  const usage = { cpuMs: (user + system) / 1_000, rssBytes: process.memoryUsage.rss() };
  const report: GatewayReport = { url, usage, emittedMs: request === 'emissions' ? emittedMs : [] };
  process.send!(report);
});
process.on('disconnect', () => process.exit());
