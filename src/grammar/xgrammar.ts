import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type * as Package from '@mlc-ai/web-xgrammar';
import { GrammarError } from './grammar-error.js';

/** One instance of XGrammar's WebAssembly module, with memory of its own. */
export interface XGrammar {
  readonly api: typeof Package;
  /**
   * What a failed call says on its error stream, as an error. XGrammar gives up with a trap that has no message, and
   * leaves its stack where it was: an instance that has failed a few times is to be thrown away.
   */
  explain(failure: unknown): Error;
}

/** The file calls itself an ES module but is a CommonJS one, so that neither `import` nor `require` can read it. */
export function loadXGrammar(): XGrammar {
  const require = createRequire(import.meta.url);
  const path = require.resolve('@mlc-ai/web-xgrammar');
  const said: string[] = [];
  const listen = (...words: unknown[]): void => {
    said.push(words.join(' '));
  };
  const console = { log() {}, warn: listen, error: listen };
  const exports = {} as typeof Package;
  // It imports one built-in module, which a function that is compiled from text cannot.
  const source = readFileSync(path, 'utf8').replace("await import('module')", "require('module')");
  const parameters = ['exports', 'module', 'require', '__filename', 'console', 'globalThis'];
  const run = compileFunction(source, parameters, { filename: path });
  run(exports, { exports }, createRequire(path), path, console, {});
  return {
    api: exports,
    explain(failure) {
      const fatal = said.find((line) => line.startsWith('[FATAL]'));
      said.length = 0;
      if (fatal === undefined) return failure instanceof Error ? failure : new Error(String(failure));
      return new GrammarError(fatal.replace(/^\[FATAL\] \S+:\d+: /, '').replace(/^Check failed: .* is false: /, ''));
    },
  };
}
