import { timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Logger } from '../../telemetry/index.js';
import { type ApiKey, digestOf, type Scope } from './api-key.js';
import { KeyFileError, parseKeyFile } from './key-file.js';
import { watchFiles } from './watch-files.js';

export interface KeyRingOptions {
  /** Keys as clients send them, with scope `inference`. */
  keys?: readonly string[] | undefined;
  /** File of hashed keys (see {@link parseKeyFile}), read again when it changes. */
  file?: string | undefined;
  logger?: Logger | undefined;
}

/** The keys of a server. */
export interface KeyRing {
  /** Whether clients need a key. Does not change: a file without keys lets nobody in, rather than everybody. */
  readonly required: boolean;
  /** The key that was presented, undefined when there is none such. */
  find(presented: string): ApiKey | undefined;
  /** Whether some key has this scope. */
  offers(scope: Scope): boolean;
  list(): readonly ApiKey[];
  /**
   * Reads the file again.
   * @throws KeyFileError when it is broken; the keys are then what they were.
   */
  reload(): void;
  /** Stops watching the file. */
  close(): void;
}

/** @throws KeyFileError */
export function createKeyRing({ keys = [], file, logger }: KeyRingOptions): KeyRing {
  const fixed = keys.map(
    (key, i): ApiKey => ({ name: `api-key-${i + 1}`, scopes: ['inference'], digest: digestOf(key), source: 'options' }),
  );
  let all = [...readKeys(file), ...fixed];
  if (file !== undefined && all.length === 0) {
    logger?.warn({ file }, 'the key file has no keys: nobody is let in. `quire keys create --file` makes one');
  }

  function reload(): void {
    all = [...readKeys(file), ...fixed];
    if (file !== undefined) logger?.info({ file, keys: all.length }, 'API keys were read again');
  }

  const unwatch =
    file !== undefined &&
    watchFiles([file], () => {
      try {
        reload();
      } catch (error) {
        logger?.error({ err: error }, 'the key file has changed and is broken: the keys stay what they were');
      }
    });

  return {
    required: keys.length > 0 || file !== undefined,
    // Digests are compared, all of them and in constant time: neither a key's length nor how much of a guess was right can be
    // measured.
    find(presented) {
      const digest = digestOf(presented);
      let found: ApiKey | undefined;
      for (const key of all) if (timingSafeEqual(key.digest, digest)) found ??= key;
      return found;
    },
    offers: (scope) => all.some(({ scopes }) => scopes.includes(scope)),
    list: () => all,
    reload,
    close() {
      if (unwatch) unwatch();
    },
  };
}

function readKeys(file: string | undefined): ApiKey[] {
  if (file === undefined) return [];
  try {
    return parseKeyFile(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof KeyFileError) throw new KeyFileError(`API keys in ${file}: ${error.message}.`, error.hint);
    const { code } = error as NodeJS.ErrnoException;
    const hint = code === 'ENOENT' ? `Make the file and its first key: quire keys create --file ${file}` : undefined;
    throw new KeyFileError(`API keys in ${file} cannot be read: ${(error as Error).message}.`, hint, error);
  }
}
