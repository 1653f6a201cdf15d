/** The kernel and its own tests (native/test/) as compilers and sanitizers see them. */
import { expect, test } from 'vitest';
import { cCompilers, nativeSources, runNative, withCompiled } from '../support/compile-c.js';

const compilers = await cCompilers();
const program = [...nativeSources(), ...nativeSources('test')];

/** Half a minute each where nobody else is at work. */
const timeout = 600_000;

/** What compilers and systems say that do not have a sanitizer. */
const MISSING = /unsupported option|unrecognized|cannot find|unexpected memory mapping/;

test.for([
  { name: 'addresses and undefined behaviour', flag: '-fsanitize=address,undefined', seed: 1001, scenarios: 20 },
  { name: 'data races', flag: '-fsanitize=thread', seed: 2001, scenarios: 4 },
])('sanitizers find nothing: $name', { timeout }, async ({ flag, seed, scenarios }, { skip }) => {
  const flags = ['-O1', '-g', flag, '-fno-sanitize-recover=all'];
  try {
    const run = (path: string) => runNative(path, [String(seed), String(scenarios)]);
    expect(await withCompiled(compilers[0]!, program, flags, run)).toContain(' 0 failures');
  } catch (error) {
    skip(MISSING.test((error as Error).message), `${flag} does not work here`);
    throw error;
  }
});

test.each(compilers)('%s has nothing to warn of', { timeout }, async (compiler) => {
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-pedantic'];
  await withCompiled(compiler, program, flags, () => undefined);
});
