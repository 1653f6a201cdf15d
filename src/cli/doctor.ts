import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { availableParallelism, cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { buildKernel, PagedAttention } from '../attention/index.js';
import { cacheDir } from '../cache-dir.js';
import { type Llama, loadLlama } from '../llama/index.js';
import { DEFAULT_MODEL, NotInCacheError, resolveModel } from '../serving/models/index.js';
import { formatBytes } from './format.js';

/** One part of the machine or the installation. */
export interface Check {
  name: string;
  /** `problem`: something Quire needs does not work; `absent`: something it can do without, or get, is not there. */
  status: 'ok' | 'problem' | 'absent';
  detail: string;
  /** What the user can do. */
  hint?: string;
}

const MARKS = { ok: '✓', problem: '✗', absent: '–' };

/** `quire doctor`: what this machine can do, what is missing, and what to do about it. Exit code 1 when something is. */
export function doctorCommand(): Command {
  return new Command('doctor')
    .summary('check this machine and installation')
    .description('Checks everything that serving needs, part by part, and says what to do about what is missing.')
    .option('--json', 'print the report as JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const checks = await examine();
      process.stdout.write(json ? `${JSON.stringify({ checks }, null, 2)}\n` : checks.map(describeCheck).join(''));
      if (checks.some(({ status }) => status === 'problem')) process.exitCode = 1;
    });
}

function describeCheck({ name, status, detail, hint }: Check): string {
  const line = `${MARKS[status]} ${name.padEnd(14)} ${detail}\n`;
  return hint === undefined ? line : `${line}${' '.repeat(17)}${hint}\n`;
}

async function examine(): Promise<Check[]> {
  let llama: Llama | undefined;
  let kernelLevel: string | undefined;
  return [
    await check('platform', () => {
      const model = cpus()[0]?.model.trim() ?? 'unknown CPU';
      return `${process.platform}-${process.arch} ${release()}, ${model}, ${availableParallelism()} cores`;
    }),
    await check('node', () => process.version),
    await check('llama.cpp', () => {
      llama = loadLlama({ device: 'cpu' });
      return `${llama.version} of ${llama.package} ${packageVersion(llama.librariesDir)}, ${llama.librariesDir}`;
    }),
    await check('CPU backend', () => needs(llama, 'llama.cpp').cpuBackend),
    await check('devices', () =>
      needs(llama, 'llama.cpp')
        .devices()
        .map(({ name, description, memoryTotal }) => `${name}: ${description}, ${formatBytes(memoryTotal)}`)
        .join('; '),
    ),
    await check('kernel', async () => {
      const { ggmlBaseLibrary } = needs(llama, 'llama.cpp');
      const build = await buildKernel();
      const shape = { layers: 1, kvHeads: 1, headSize: 64, type: 'f16' } as const;
      const attention = new PagedAttention({ shape, pages: 1, kernel: build.path, ggmlBaseLibrary });
      kernelLevel = attention.level;
      attention.dispose();
      const origin = build.cached ? 'built earlier' : `built in ${(build.ms / 1000).toFixed(1)} s`;
      return `attention ${kernelLevel}, ${origin} with ${build.compiler}, ${build.path}`;
    }),
    await check('memory', () => `${formatBytes(process.availableMemory())} available of ${formatBytes(totalmem())}`),
    await check('cache', () => describeCache(cacheDir())),
    await defaultModelCheck(),
    await check('serve', () => {
      const matmuls = `on the CPU with ${needs(llama, 'llama.cpp').cpuBackend} matmuls`;
      return kernelLevel === undefined
        ? `${matmuls} and llama.cpp's own attention (--kv-backend cells), since there is no kernel: slower with many ` +
            'requests, and answers may differ in a crowd'
        : `${matmuls} and ${kernelLevel} paged attention; models that pages cannot serve use llama.cpp's own attention`;
    }),
  ];
}

/** Runs one check; whatever it throws is its own result and no other's. */
async function check(name: string, examinePart: () => string | Promise<string>): Promise<Check> {
  try {
    return { name, status: 'ok', detail: await examinePart() };
  } catch (error) {
    const { message, hint } = error as { message: string; hint?: string };
    return { name, status: 'problem', detail: message, ...(hint === undefined ? {} : { hint }) };
  }
}

async function defaultModelCheck(): Promise<Check> {
  const name = 'default model';
  try {
    const { path } = await resolveModel(DEFAULT_MODEL, { offline: true, requantize: 'off' });
    return { name, status: 'ok', detail: `${DEFAULT_MODEL}, ${formatBytes(statSync(path).size)}, ${path}` };
  } catch (error) {
    // A file that is there and damaged is no model that is yet to come.
    if (!(error instanceof NotInCacheError)) {
      const { message, hint } = error as { message: string; hint?: string };
      return { name, status: 'problem', detail: message, ...(hint === undefined ? {} : { hint }) };
    }
    return {
      name,
      status: 'absent',
      detail: `${DEFAULT_MODEL} is not downloaded yet`,
      hint: `\`quire serve\` gets it on first use; \`quire pull ${DEFAULT_MODEL}\` does so now.`,
    };
  }
}

function needs<T>(part: T | undefined, name: string): T {
  if (part === undefined) throw new Error(`needs ${name}`);
  return part;
}

/** The package exports no package.json, but its libraries lie in `bins/<platform>/` beside it. */
function packageVersion(librariesDir: string): string {
  return JSON.parse(readFileSync(join(librariesDir, '..', '..', 'package.json'), 'utf8')).version;
}

function describeCache(folder: string): string {
  if (!existsSync(folder)) return `${folder}, empty`;
  const parts = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${entry.name} ${formatBytes(folderBytes(join(folder, entry.name)))}`);
  return `${folder}, ${parts.length === 0 ? 'empty' : parts.join(', ')}`;
}

function folderBytes(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((bytes, entry) => bytes + statSync(join(entry.parentPath, entry.name)).size, 0);
}
