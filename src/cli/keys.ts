import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { open, realpath, rename, rm } from 'node:fs/promises';
import { Command, Option } from 'commander';
import lockfile from 'proper-lockfile';
import {
  digestOf,
  type KeyEntry,
  KeyFileError,
  newApiKey,
  parseKeyFile,
  SCOPES,
  type Scope,
  withKey,
} from '../api/index.js';
import { CliError } from './cli-error.js';

interface CreateFlags {
  name?: string;
  scopes: Scope[];
  file?: string;
}

const HELP = `
Examples:
  quire keys create --name alice --file keys.json
  quire keys create --name prometheus --scopes metrics --file keys.json
  quire serve --api-keys-file keys.json

Scopes: inference (the API), admin (/admin/… on --admin-port), metrics (/metrics). The key is printed once and not kept: the
file has its SHA-256. To revoke a key, delete its entry: a running server reads the file again.`;

/** `quire keys`: API keys for `quire serve --api-keys-file`. */
export function keysCommand(): Command {
  const keys = new Command('keys')
    .summary('make API keys')
    .description('Makes keys for `quire serve --api-keys-file`.');
  keys
    .command('create')
    .summary('make a key')
    .description('Prints a new random key on standard output, and writes its hash to a file or to standard error.')
    .option('--name <name>', 'what logs and /admin/keys call it (default: key- and eight digits)')
    .addOption(
      new Option('--scopes <list>', `what it opens, with commas between: ${SCOPES.join(', ')}`)
        .argParser(parseScopes)
        .default(['inference'] satisfies Scope[], 'inference'),
    )
    .option('--file <path>', 'file to add it to, which is made where there is none')
    .addHelpText('after', HELP)
    .action(create);
  return keys;
}

async function create({ name = `key-${randomUUID().slice(0, 8)}`, scopes, file }: CreateFlags): Promise<void> {
  const key = newApiKey();
  const hash = `sha256:${digestOf(key).toString('hex')}`;
  const entry: KeyEntry = { name, scopes, hash, created: new Date().toISOString() };
  try {
    if (file === undefined) {
      const text = withKey('', entry);
      parseKeyFile(text);
      process.stderr.write(`Of the key ${name} a file for --api-keys-file has:\n${text}`);
    } else {
      await addTo(file, entry);
      process.stderr.write(`The key ${name} (${scopes.join(', ')}) was added to ${file}. It is shown this once:\n`);
    }
  } catch (error) {
    if (error instanceof KeyFileError) throw new CliError(`${file ?? 'the key'}: ${error.message}`, { cause: error });
    throw error;
  }
  process.stdout.write(`${key}\n`);
}

/** Whoever reads the file meanwhile sees it whole, before or after; of two who add to it at a time, one waits. */
async function addTo(path: string, entry: KeyEntry): Promise<void> {
  const release = await lockfile.lock(path, {
    realpath: false,
    retries: { retries: 20, minTimeout: 50, maxTimeout: 250 },
  });
  try {
    const text = withKey(readIfThere(path), entry);
    parseKeyFile(text);
    // A link, as it may be in a container, goes on to point to the file.
    const target = await realpath(path).catch(() => path);
    const unfinished = `${target}.${randomUUID()}`;
    try {
      const handle = await open(unfinished, 'wx', 0o600);
      try {
        await handle.writeFile(text);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(unfinished, target);
    } finally {
      await rm(unfinished, { force: true });
    }
  } finally {
    await release();
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** @throws CliError */
function parseScopes(list: string): Scope[] {
  const words = list.split(',').map((word) => word.trim());
  const wrong = words.find((word) => !SCOPES.includes(word as Scope));
  if (wrong === undefined) return [...new Set(words as Scope[])];
  throw new CliError(`no such scope: ${wrong}`, { hint: `There are ${SCOPES.join(', ')}.`, exitCode: 2 });
}
