import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

const NATIVE = fileURLToPath(new URL('../../native/', import.meta.url));

/** All C files of native/, or of a folder in it. */
export function nativeSources(folder = '.'): string[] {
  const directory = join(NATIVE, folder);
  const names = readdirSync(directory).filter((name) => name.endsWith('.c'));
  return names.sort().map((name) => join(directory, name));
}

/** The C compilers of this machine, by name; `$CC` alone if it is set. */
export async function cCompilers(): Promise<string[]> {
  const names = process.env.CC ? [process.env.CC] : ['gcc', 'clang', 'cc'];
  const found: string[] = [];
  for (const name of names) {
    const works = await run(name, ['--version']).then(
      () => true,
      () => false,
    );
    // cc is one of the others nearly everywhere.
    if (works && (name !== 'cc' || found.length === 0)) found.push(name);
  }
  return found;
}

/**
 * Compiles C files, which may include native/quire_attention.h, all at once and with the library's own rules of
 * arithmetic. The result is removed after use.
 * @param flags optimization, warnings, what is to be built
 * @param libraries what to link besides the C library's own
 * @throws Error with the compiler's messages
 */
export async function withCompiled<T>(
  compiler: string,
  sources: readonly string[],
  flags: readonly string[],
  use: (path: string) => T,
  libraries: readonly string[] = [],
): Promise<Awaited<T>> {
  const folder = await mkdtemp(join(tmpdir(), 'quire-native-'));
  const path = join(folder, 'compiled');
  try {
    const rules = ['-std=c11', '-ffp-contract=off', `-I${NATIVE}`];
    const objects = sources.map((_, i) => join(folder, `${i}.o`));
    const compile = (source: string, i: number) => run(compiler, [...rules, ...flags, '-c', source, '-o', objects[i]!]);
    await Promise.all(sources.map(compile));
    await run(compiler, [...flags, ...objects, ...libraries, '-o', path, '-lm', '-lpthread']);
    return await use(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/**
 * Runs a program to its end.
 * @returns what it wrote to standard output
 * @throws Error with all that it wrote if it fails
 */
export async function runNative(path: string, args: readonly string[]): Promise<string> {
  try {
    return (await run(path, args, { maxBuffer: 2 ** 24 })).stdout;
  } catch (error) {
    const { code, signal, stdout, stderr } = error as Record<'code' | 'signal' | 'stdout' | 'stderr', unknown>;
    throw new Error(`${[path, ...args].join(' ')} ended with ${signal ?? code}:\n${stdout}${stderr}`);
  }
}
