import { expect, test } from 'vitest';
import { cCompilers, nativeSources, runNative, withCompiled } from '../support/compile-c.js';
import { LEVELS } from './attention-harness.js';

const compilers = await cCompilers();
const program = [...nativeSources(), ...nativeSources('test')];

/** Half a minute where nobody else is at work. */
const timeout = 600_000;

test('rows have the same bits alone and in a crowd, and are as exact as floats can be', { timeout }, async () => {
  // native/test/attention_test.c says what that means.
  const output = await withCompiled(compilers[0]!, program, ['-O2', '-g'], (path) => runNative(path, ['1', '60']));
  for (const level of LEVELS) expect(output).toMatch(new RegExp(`^${level}: [1-9]\\d* rows.* 0 failures$`, 'm'));
});
