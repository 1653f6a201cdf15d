import { type LoadedEngine, loadEngine } from '../../src/engine/load-engine.js';
import type { EngineRequest } from '../../src/engine/protocol.js';
import { jsonSchemaToEbnf } from '../../src/grammar/json-schema.js';
import { engineConfig, engineRequest, pseudoRandomTokens } from '../../test/support/engine-requests.js';
import { median } from '../statistics.js';
import type { Part } from './part.js';

const SEQUENCES = 16;
const PROMPT_TOKENS = 32;
const STEPS = 48;

/** Never complete before the steps are over, and of strings, numbers, choices and nested objects. */
const SCHEMA = {
  type: 'array',
  minItems: 8,
  items: {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 20, maxLength: 40 },
      kind: { enum: ['user', 'group', 'guest'] },
      age: { type: 'integer', minimum: 0, maximum: 130 },
      address: {
        type: 'object',
        properties: { street: { type: 'string' }, zip: { type: 'string', pattern: '^\\d{5}$' } },
      },
    },
    required: ['name', 'kind', 'age', 'address'],
  },
};

const MODES = ['free', 'constrained'] as const;

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
    const ebnf = jsonSchemaToEbnf(SCHEMA, { strict: true });
    const stepMs = { free: [] as number[], constrained: [] as number[] };
    try {
      for (let round = 0; round < rounds; round++) {
        for (const mode of round % 2 === 0 ? MODES : MODES.toReversed()) {
          onProgress(`round ${round + 1}: ${mode}`, round / rounds);
          stepMs[mode].push(await measure(loaded, mode === 'free' ? null : { ebnf, textTokens: [] }, round));
        }
      }
    } finally {
      loaded.dispose();
    }
    const [free, constrained] = [median(stepMs.free), median(stepMs.constrained)];
    const added = `${(100 * (constrained / free - 1)).toFixed(1)} %`;
    return {
      figures: { vocabSize: loaded.info.vocabSize, stepMs },
      tables: [
        {
          header: ['vocabulary', 'sequences', 'free, ms a step', 'with a grammar, ms a step', 'added'],
          rows: [[String(loaded.info.vocabSize), String(SEQUENCES), free.toFixed(2), constrained.toFixed(2), added]],
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
