import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { compileFunction, constants } from 'node:vm';
import type * as Package from '@mlc-ai/web-xgrammar';

/** The package's file calls itself an ES module but is a CommonJS one. */
export function loadXGrammar(): typeof Package {
  const path = createRequire(import.meta.url).resolve('@mlc-ai/web-xgrammar');
  const exports = {} as typeof Package;
  const names = ['exports', 'module', 'require', '__filename', '__dirname', 'globalThis'];
  const run = compileFunction(readFileSync(path, 'utf8'), names, {
    filename: path,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  run(exports, { exports }, createRequire(path), path, '', {});
  return exports;
}
