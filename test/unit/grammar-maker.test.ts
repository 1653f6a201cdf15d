import { afterEach, expect, it } from 'vitest';
import type { Form } from '../../src/grammar/form.js';
import { GrammarError } from '../../src/grammar/grammar-error.js';
import { GrammarMaker } from '../../src/grammar/grammar-maker.js';
import { createFakeVocabulary } from '../support/fake-vocabulary.js';

let maker: GrammarMaker | undefined;

afterEach(() => maker?.dispose());

const large: Form = { kind: 'choice', choices: Array.from({ length: 10_000 }, (_, i) => `value ${i}`) };

async function refusal(form: Form): Promise<unknown> {
  return maker!.make(form).catch((error: unknown) => error);
}

it('a form that takes too long is refused, once for all who ask for it, and remembered', async () => {
  maker = new GrammarMaker(createFakeVocabulary(), 1);
  // The thread's start is not counted.
  await maker.make({ kind: 'regex', pattern: 'a' });
  const [first, other] = await Promise.all([refusal(large), refusal(large)]);
  expect(first).toBeInstanceOf(GrammarError);
  expect((first as Error).message).toContain('too complex');
  expect(other).toBe(first);
  // The very same error: nothing was tried again.
  expect(await refusal(large)).toBe(first);
  // The next thread serves others.
  expect((await maker.make({ kind: 'regex', pattern: 'b' })).ebnf).toContain('b');
});

it('what is too long or nested too deeply is refused before anything is made of it', async () => {
  maker = new GrammarMaker(createFakeVocabulary());
  let schema: Record<string, unknown> = { type: 'string' };
  for (let depth = 0; depth < 8_000; depth++) schema = { items: schema };
  expect(String(await refusal({ kind: 'json_schema', schema, strict: true }))).toMatch(/nested too deeply|too complex/);
  expect(String(await refusal({ kind: 'regex', pattern: 'a'.repeat(300_000) }))).toContain('too long');
  expect((await maker.make({ kind: 'regex', pattern: 'b' })).ebnf).toContain('b');
});
