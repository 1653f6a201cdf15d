/**
 * Makes a fresh clone ready to run: packages, compiled TypeScript, the attention kernel. Every step is skipped when its
 * result is up to date, so `npm start` and `npm test` may always begin with it. Plain JavaScript without dependencies,
 * because nothing is installed yet when it first runs.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { withLock } from './lock.mjs';
import { phase, runQuietly } from './phase.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const stamp = join(root, 'dist', '.sources');

/** @throws {Error} with a message for the user when a step fails; a missing C compiler is only reported. */
export async function setup() {
  requireNode();
  if (!(packagesAreInstalled() && sourcesAreCompiled())) {
    // Two commands started at once: the second waits, then finds everything done.
    await withLock(join(root, 'dist', '.setup-lock'), async () => {
      if (!packagesAreInstalled()) await phase('Installing packages (npm ci)', installPackages);
      if (!sourcesAreCompiled()) await phase('Compiling TypeScript', compileSources);
    });
  }
  await buildKernel();
}

function requireNode() {
  const { engines } = readJson('package.json');
  const required = engines.node.replace('>=', '').split('.').map(Number);
  const actual = process.versions.node.split('.').map(Number);
  const recent = actual[0] !== required[0] ? actual[0] > required[0] : actual[1] >= required[1];
  if (!recent)
    throw new Error(`Quire needs Node.js ${engines.node}; this is ${process.version}. See https://nodejs.org.`);
}

/**
 * Compares package-lock.json with the copy that npm leaves in node_modules, which it writes last: an interrupted
 * installation has none. Packages that npm left out as optional (other platforms') may be absent.
 */
function packagesAreInstalled() {
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) return false;
  const wanted = readJson('package-lock.json').packages;
  const installed = readJson('node_modules/.package-lock.json').packages;
  return Object.entries(wanted).every(([path, { version, optional, devOptional }]) => {
    if (path === '') return true;
    return installed[path] ? installed[path].version === version : optional || devOptional;
  });
}

async function installPackages() {
  // Nothing here needs an install script. Development packages compile and test; NODE_ENV=production must not drop them.
  const args = ['ci', '--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  const npm = process.env.npm_execpath;
  if (npm) await runQuietly(process.execPath, [npm, ...args], { cwd: root });
  else await runQuietly('npm', args, { cwd: root, shell: process.platform === 'win32' });
}

function sourcesAreCompiled() {
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === sourcesHash();
}

async function compileSources() {
  const hash = sourcesHash();
  rmSync(stamp, { force: true });
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  await runQuietly(process.execPath, [tsc, '-p', 'tsconfig.build.json', '--noEmitOnError'], { cwd: root });
  writeFileSync(stamp, hash);
}

function sourcesHash() {
  const sources = readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  const configuration = ['package-lock.json', 'tsconfig.json', 'tsconfig.build.json'].map((name) => join(root, name));
  const hash = createHash('sha256');
  for (const path of [...sources.sort(), ...configuration]) {
    const contents = readFileSync(path);
    hash.update(`${path.slice(root.length)}\0${contents.length}\0`).update(contents);
  }
  return hash.digest('hex');
}

async function buildKernel() {
  const { buildKernel: build } = await import('../dist/attention/index.js');
  try {
    await build({ onProgress: (line) => process.stderr.write(`${line} …\n`) });
  } catch (error) {
    // The engine and `quire doctor` say it again and in full: setting up the rest is still worth while.
    process.stderr.write(`\n!! ${error.message}\n${error.hint ? `   ${error.hint}\n` : ''}\n`);
  }
}

function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), 'utf8'));
}

/** Runs {@link setup} for a script: a failure is printed without a stack trace and ends the process. */
export async function setupOrExit() {
  try {
    await setup();
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) await setupOrExit();
