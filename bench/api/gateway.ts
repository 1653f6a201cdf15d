/**
 * A gateway process over engines whose tokens cost nothing, for `bench/api.ts`: from HTTP to the engines' messages and
 * back it is the one that users run, compiled as they run it.
 *
 * Arguments: how many engines the requests are spread over, and the milliseconds between two steps of an engine,
 * where 0 means: a step as soon as there is something to do. Engines do not step in time with each other.
 */
import { fileURLToPath } from 'node:url';
import type { EngineClient } from '../../src/serving/index.js';
import { createChatTemplate } from '../../src/serving/text/chat-template.js';
import type { Vocabulary } from '../../src/serving/text/tokenizer.js';
import { TICKS } from './emission-clock.js';
import type { GatewayReport } from './gateway-process.js';

const built = (file: string) => import(new URL(`../../dist/${file}`, import.meta.url).href);
const { createApp, listen }: typeof import('../../src/api/index.js') = await built('api/index.js');
const { createServing }: typeof import('../../src/serving/index.js') = await built('serving/index.js');
const { createTokenizer }: typeof import('../../src/serving/text/tokenizer.js') =
  await built('serving/text/tokenizer.js');
const { spawnEngine }: typeof import('../../src/serving/engines/index.js') = await built('serving/engines/index.js');
const { createLogger }: typeof import('../../src/telemetry/index.js') = await built('telemetry/index.js');

const ENGINE = fileURLToPath(new URL('./engine.ts', import.meta.url));

const vocabulary: Vocabulary = {
  size: TICKS,
  bos: -1,
  eos: -1,
  fimPrefix: -1,
  fimSuffix: -1,
  fimMiddle: -1,
  addBos: false,
  tokenize: (text) => Int32Array.from(Buffer.from(text)),
  pieceBytes: (token) => Buffer.from(` ${token}`),
  isEndOfGeneration: () => false,
};

const CHAT_TEMPLATE = '{% for message in messages %}{{ message.content }}{% endfor %}';

const [engineCount, periodMs] = process.argv.slice(2).map(Number) as [number, number];

/** Several engines as one: requests go to them in turn, the first answers for all that is not about a request. */
function spread(engines: readonly EngineClient[]): EngineClient {
  const engineOf = new Map<string, EngineClient>();
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

const serving = createServing(
  { model: 'fake' },
  {
    resolveModel: async (source) => ({ path: 'fake', name: 'fake', source, notes: [] }),
    loadModelText: () => ({
      tokenizer: createTokenizer(vocabulary),
      template: createChatTemplate(CHAT_TEMPLATE, vocabulary),
      dispose() {},
    }),
    async startEngine(config, hooks) {
      const engines = Array.from({ length: engineCount }, (_, i) => {
        const offsetMs = (i * periodMs) / engineCount;
        return spawnEngine({ ...config, modelPath: `${periodMs} ${offsetMs}` }, hooks, ENGINE);
      });
      return spread(await Promise.all(engines));
    },
  },
);
await serving.whenReady();
const { url } = await listen(createApp(serving, { logger: createLogger({ level: 'silent' }) }), { port: 0 });

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  const report: GatewayReport = {
    url,
    cpuMs: (user + system) / 1_000,
    rssBytes: process.memoryUsage.rss(),
  };
  process.send!(report);
});
process.on('disconnect', () => process.exit());
