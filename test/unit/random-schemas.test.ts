import fc from 'fast-check';
import { expect, it } from 'vitest';
import { jsonSchemaGrammar } from '../../src/grammar/json-schema.js';
import { walk } from '../support/grammar-walk.js';
import { jsonValidator, randomSchema } from '../support/random-schema.js';

const SCHEMAS = 500;
const SEED = Number(process.env.QUIRE_SEED ?? 1);

it(`texts of the grammars of ${SCHEMAS} random schemas are valid (QUIRE_SEED=${SEED})`, async () => {
  let random = SEED;
  const next = (): number => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return random / 2 ** 32;
  };
  let finished = 0;
  for (const schema of fc.sample(randomSchema(), { numRuns: SCHEMAS, seed: SEED })) {
    const grammar = jsonSchemaGrammar(schema, { strict: true });
    const text = await walk(grammar, next).catch((error) => {
      throw new Error(`${error.message}\n${JSON.stringify(schema)}\n${grammar.ebnf}`);
    });
    if (text === undefined) continue;
    finished++;
    expect(jsonValidator(schema)(text), `${JSON.stringify(schema)}\n${text}`).toBeUndefined();
  }
  expect(finished).toBeGreaterThan(SCHEMAS * 0.8);
}, 120_000);
