import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { devNull } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cacheDir } from '../cache-dir.js';
import { fileFaults } from '../faults/index.js';

/** A compiled kernel library. */
export interface KernelBuild {
  /** Path of the shared library. */
  path: string;
  /** The compiler's command and version, e.g. `gcc 12.2.0`. */
  compiler: string;
  /** Whether an earlier build of the same sources was found. */
  cached: boolean;
  /** How long finding or building it took. */
  ms: number;
}

/** The kernel cannot be compiled here; `hint` says what the user can do. */
export class KernelBuildError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = new.target.name;
    this.hint = hint;
  }
}

interface Compiler {
  command: string;
  flags: readonly string[];
  /** All macros it predefines: its version, and with them the instruction set that it compiles for. */
  macros: string;
}

// Two levels up from src/attention/ and from dist/attention/ alike.
const SOURCES = fileURLToPath(new URL('../../native/', import.meta.url));

/**
 * Contraction would fuse a product and a sum in one loop and not in another, and so break the one order of sums that
 * native/README.md promises.
 */
const FLAGS = ['-std=c11', '-O3', '-ffp-contract=off', '-fPIC', '-fvisibility=hidden', '-shared'];

/** For this very machine if the compiler knows how: the library is never moved to another. */
const FLAG_SETS = [[...FLAGS, '-march=native'], FLAGS];

const INSTALL_HINT = 'Install gcc or clang (`apt install gcc`, `xcode-select --install`), or name one in $CC.';

const run = promisify(execFile);

/**
 * Compiles native/*.c with the system's C compiler (`$CC`, else the first of `cc`, `gcc` and `clang` that works) into
 * the cache folder, unless the same sources were compiled by the same compiler for the same instruction set before.
 * Processes that build at the same time do not disturb each other.
 * @throws KernelBuildError when there is no compiler, or it refuses the sources.
 */
export async function buildKernel(options: { onProgress?(line: string): void } = {}): Promise<KernelBuild> {
  const start = performance.now();
  const compiler = await findCompiler();
  const names = (await readdir(SOURCES)).filter((name) => /\.[ch]$/.test(name)).sort();
  const hash = createHash('sha256').update(JSON.stringify([compiler.macros, compiler.flags]));
  for (const name of names) hash.update(`${name}\0`).update(await readFile(join(SOURCES, name)));

  const directory = cacheDir('native', hash.digest('hex').slice(0, 24));
  const path = join(directory, `quire-attention.${extension()}`);
  const cached = existsSync(path);
  const label = describe(compiler);
  if (!cached) {
    options.onProgress?.(`compiling the attention kernel with ${label}`);
    await mkdir(directory, { recursive: true });
    await compile(
      compiler,
      names.filter((name) => name.endsWith('.c')),
      path,
    );
  }
  return { path, compiler: label, cached, ms: performance.now() - start };
}

async function findCompiler(): Promise<Compiler> {
  const chosen = process.env.CC;
  const commands = chosen === undefined || chosen === '' ? ['cc', 'gcc', 'clang'] : [chosen];
  for (const command of commands) {
    for (const flags of FLAG_SETS) {
      const macros = await predefinedMacros(command, flags);
      if (macros !== undefined) return { command, flags, macros };
    }
  }
  throw new KernelBuildError(`no working C compiler found (tried ${commands.join(', ')})`, INSTALL_HINT);
}

async function predefinedMacros(command: string, flags: readonly string[]): Promise<string | undefined> {
  try {
    const { stdout } = await run(command, [...flags, '-dM', '-E', '-x', 'c', devNull]);
    return stdout;
  } catch {
    return undefined;
  }
}

/** The library appears under its name only when it is whole. */
async function compile(compiler: Compiler, sources: readonly string[], path: string): Promise<void> {
  const unfinished = `${path}.${randomUUID()}`;
  const paths = sources.map((name) => join(SOURCES, name));
  try {
    await run(compiler.command, [...compiler.flags, '-o', unfinished, ...paths]);
    fileFaults()?.write('compile', Number.POSITIVE_INFINITY);
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw new KernelBuildError(
      `${describe(compiler)} cannot compile the attention kernel: ${(error as Error).message}`,
      'Name another C compiler in $CC (gcc 9 or clang 9 and newer are known to be good enough).',
    );
  }
}

function describe(compiler: Compiler): string {
  const version = /#define __VERSION__ "([^"]*)"/.exec(compiler.macros)?.[1] ?? '';
  return `${compiler.command} ${version}`.trim();
}

function extension(): string {
  if (process.platform === 'darwin') return 'dylib';
  return process.platform === 'win32' ? 'dll' : 'so';
}
