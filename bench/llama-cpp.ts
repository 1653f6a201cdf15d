import { existsSync } from 'node:fs';
import { copyFile, mkdir, rename, rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheDir } from '../src/cache-dir.js';
import { runCommand } from './run-command.js';
import type { StepProgress } from './step-progress.js';

/**
 * The sources of the llama.cpp release whose libraries Quire runs on. They come inside the `node-llama-cpp` package
 * as a git bundle, so nothing is downloaded. Kept in the cache by commit.
 *
 * @returns the folder of the checkout
 * @throws Error when git is not installed.
 */
export async function llamaCppSources(): Promise<string> {
  const bundle = fileURLToPath(new URL('../llama/gitRelease.bundle', import.meta.resolve('node-llama-cpp')));
  const heads = await runCommand('git', ['bundle', 'list-heads', bundle]);
  const commit = heads.split(' ')[0]!;
  const target = cacheDir('llama.cpp', commit, 'source');
  if (existsSync(target)) return target;

  await mkdir(dirname(target), { recursive: true });
  const unfinished = `${target}.${process.pid}`;
  await runCommand('git', ['clone', '--quiet', bundle, unfinished]);
  await moveUnlessThere(unfinished, target);
  return target;
}

/** Two processes may have made the same thing at the same time: the first one's stays. */
async function moveUnlessThere(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (!existsSync(to)) throw error;
    await rm(from, { recursive: true });
  }
}

const CMAKE_OPTIONS = [
  '-DCMAKE_BUILD_TYPE=Release',
  // One file to keep when the build folder is gone.
  '-DBUILD_SHARED_LIBS=OFF',
  '-DLLAMA_BUILD_SERVER=ON',
  '-DLLAMA_BUILD_TESTS=OFF',
  '-DLLAMA_BUILD_EXAMPLES=OFF',
  '-DLLAMA_BUILD_UI=OFF',
  '-DLLAMA_CURL=OFF',
];

/**
 * The `llama-server` to measure: the one at `path` if that is given, else one that is built here.
 *
 * @throws Error when there is none at `path`, or the build fails.
 */
export async function llamaServer(path: string | undefined, onProgress: StepProgress): Promise<string> {
  if (path === undefined) return buildLlamaServer(onProgress);
  if (!existsSync(path)) throw new Error(`there is no llama-server at ${path}; leave it out to have one built`);
  return path;
}

/**
 * `llama-server` of the same release as the libraries that Quire runs on, compiled for this machine with llama.cpp's
 * own release settings. The first build takes minutes; later calls find it in the cache. An interrupted build goes on
 * where it was.
 *
 * @returns the path of the executable
 * @throws Error when git, cmake or a C++ compiler is missing, or the build fails.
 */
async function buildLlamaServer(onProgress: StepProgress): Promise<string> {
  const source = await llamaCppSources();
  const executable = process.platform === 'win32' ? 'llama-server.exe' : 'llama-server';
  const target = join(dirname(source), executable);
  if (existsSync(target)) return target;

  const build = join(dirname(source), 'build');
  const generator = (await isInstalled('ninja')) ? ['-G', 'Ninja'] : [];
  onProgress('configuring llama-server', 0);
  await runCommand('cmake', ['-S', source, '-B', build, ...generator, ...CMAKE_OPTIONS]);
  const jobs = String(availableParallelism());
  const compile = ['--build', build, '--config', 'Release', '--target', 'llama-server', '-j', jobs];
  await runCommand('cmake', compile, (line) => {
    const fraction = fractionDone(line);
    if (fraction !== undefined) onProgress('compiling llama-server', fraction);
  });
  await copyFile(join(build, 'bin', executable), `${target}.${process.pid}`);
  await moveUnlessThere(`${target}.${process.pid}`, target);
  await rm(build, { recursive: true, force: true });
  return target;
}

/** Ninja begins its lines with `[12/345]`, Make with `[ 12%]`. */
export function fractionDone(line: string): number | undefined {
  const steps = /^\[(\d+)\/(\d+)\]/.exec(line);
  if (steps) return Number(steps[1]) / Number(steps[2]);
  const percent = /^\[\s*(\d+)%\]/.exec(line);
  return percent ? Number(percent[1]) / 100 : undefined;
}

async function isInstalled(command: string): Promise<boolean> {
  try {
    await runCommand(command, ['--version']);
    return true;
  } catch {
    return false;
  }
}
