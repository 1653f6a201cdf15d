import type { ValidateFunction } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { jsonSchemaToEbnf } from '../../src/grammar/json-schema.js';
import { walk } from '../support/grammar-walk.js';
import { randomSchema } from '../support/random-schema.js';

const SCHEMAS = 500;
const SEED = Number(process.env.QUIRE_SEED ?? 1);

it(`texts of the grammars of ${SCHEMAS} random schemas are valid (QUIRE_SEED=${SEED})`, async () => {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  let random = SEED;
  const next = (): number => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return random / 2 ** 32;
  };
  let finished = 0;
  for (const schema of fc.sample(randomSchema(), { numRuns: SCHEMAS, seed: SEED })) {
    const ebnf = jsonSchemaToEbnf(schema, { strict: true });
    const validate = ajv.compile(schema);
    const text = await walk(ebnf, next).catch((error) => {
      throw new Error(`${error.message}\n${JSON.stringify(schema)}\n${ebnf}`);
    });
    if (text === undefined) continue;
    finished++;
    expect(problem(text, validate), `${JSON.stringify(schema)}\n${text}`).toBeUndefined();
  }
  expect(finished).toBeGreaterThan(SCHEMAS * 0.8);
}, 120_000);

function problem(text: string, validate: ValidateFunction): string | undefined {
  try {
    return validate(JSON.parse(text)) ? undefined : JSON.stringify(validate.errors);
  } catch (error) {
    return (error as Error).message;
  }
}
