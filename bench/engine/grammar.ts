import { type LoadedEngine, loadEngine } from '../../src/engine/load-engine.js';
import type { EngineRequest } from '../../src/engine/protocol.js';
import { jsonSchemaGrammar } from '../../src/grammar/json-schema.js';
import { engineConfig, engineRequest, pseudoRandomTokens } from '../../test/support/engine-requests.js';
import { formatNumber, formatSpread } from '../report/format.js';
import { spread } from '../statistics.js';
import type { Part } from './part.js';

const SEQUENCES = 16;
const PROMPT_TOKENS = 32;
const STEPS = 48;

/** Never complete before the steps are over, and of strings, numbers, choices and nested objects. */
const schemaWith = (name: object) => ({
  type: 'array',
  minItems: 8,
  items: {
    type: 'object',
    properties: {
      name,
      kind: { enum: ['user', 'group', 'guest'] },
      age: { type: 'integer', minimum: 0, maximum: 130 },
      address: {
        type: 'object',
        properties: { street: { type: 'string' }, zip: { type: 'string', pattern: '^\\d{5}$' } },
      },
    },
    required: ['name', 'kind', 'age', 'address'],
  },
});

/** Lengths of strings are counted outside the grammar. */
const SCHEMAS = {
  free: undefined,
  'any strings': schemaWith({ type: 'string' }),
  'strings of 20 to 40 characters': schemaWith({ type: 'string', minLength: 20, maxLength: 40 }),
  'strings of up to 500 characters': schemaWith({ type: 'string', maxLength: 500 }),
};

type Mode = keyof typeof SCHEMAS;
const MODES = Object.keys(SCHEMAS) as Mode[];

/** What masks add to a step: as many sequences with a grammar as without, in turns. */
export const grammarPart: Part = {
  id: 'grammar',
  title: `Step time of ${SEQUENCES} sequences with a grammar against as many without`,
  usesModel: true,
  async run({ modelPath, threads, rounds, onProgress }) {
    const loaded = await loadEngine(
      engineConfig({ modelPath, threads, maxModelLen: 1024, maxNumSeqs: SEQUENCES, checkEveryStep: false }),
      { onProgress() {}, onLog() {} },
    );
    const stepMs = Object.fromEntries(MODES.map((mode) => [mode, [] as number[]])) as Record<Mode, number[]>;
    try {
      for (let round = 0; round < rounds; round++) {
        for (const mode of round % 2 === 0 ? MODES : MODES.toReversed()) {
          onProgress(`round ${round + 1}: ${mode}`, round / rounds);
          const schema = SCHEMAS[mode];
          const grammar = schema && { ...jsonSchemaGrammar(schema, { strict: true }), textTokens: [] };
          stepMs[mode].push(await measure(loaded, grammar ?? null, round));
        }
      }
    } finally {
      loaded.dispose();
    }
    const rows = MODES.slice(1).map((mode) => {
      const ratios = stepMs[mode].map((ms, round) => ms / stepMs.free[round]!);
      const cells = [stepMs.free, stepMs[mode], ratios].map((samples) => formatSpread(spread(samples)));
      return [formatNumber(loaded.info.vocabSize), String(SEQUENCES), mode, ...cells];
    });
    return {
      figures: { vocabSize: loaded.info.vocabSize, stepMs },
      tables: [
        {
          header: [
            'vocabulary',
            'sequences',
            'grammar of',
            'free, ms a step',
            'with a grammar, ms a step',
            'with ÷ free',
          ],
          rows,
        },
      ],
      pictures: [],
      notes: [],
    };
  },
};

/** Mean milliseconds of a step in which all sequences decode. */
async function measure({ engine, info }: LoadedEngine, grammar: EngineRequest['grammar'], round: number) {
  for (let i = 0; i < SEQUENCES; i++) {
    const prompt = pseudoRandomTokens(PROMPT_TOKENS, i, info.vocabSize);
    const sampling = { temperature: 1, seed: 100 * round + i, maxTokens: STEPS + 16 };
    engine.add(engineRequest(`r${i}`, prompt, { grammar, sampling }));
  }
  while (engine.stats().runningSequences < SEQUENCES) {
    // Grammars that have been compiled are told of in between.
    await new Promise((resolve) => setImmediate(resolve));
    engine.step();
  }
  // All have been prefilled after a step or two.
  for (let i = 0; i < 4; i++) engine.step();
  const began = performance.now();
  for (let i = 0; i < STEPS; i++) engine.step();
  const ms = (performance.now() - began) / STEPS;
  for (let i = 0; i < SEQUENCES; i++) engine.abort(`r${i}`);
  engine.takeEvents();
  return ms;
}
