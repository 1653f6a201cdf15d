import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { type CatalogEntry, findInCatalog, readCatalog } from './catalog.js';
import { ModelResolveError } from './errors.js';
import type { HuggingFaceModel } from './huggingface.js';

/** What a user's word for a model means. */
export type ModelReference =
  | { kind: 'path'; path: string }
  | { kind: 'url'; url: URL }
  | { kind: 'huggingface'; model: HuggingFaceModel }
  | { kind: 'catalog'; entry: CatalogEntry };

const HUGGING_FACE =
  /^(?:hf|huggingface):(?:\/\/)?(?<repository>[\w.-]+\/[\w.-]+)(?::(?<weightType>\w+)|\/(?<file>.+\.gguf))?$/i;

/**
 * Tells a path, `hf:user/repo[:quant]`, `hf:user/repo/file.gguf`, a URL and a name from the catalog apart. A file that
 * exists comes before a name that is spelled the same.
 *
 * @throws ModelResolveError for what can be none of them.
 */
export function parseReference(reference: string): ModelReference {
  if (/^https?:\/\//i.test(reference)) return { kind: 'url', url: parseUrl(reference) };
  if (/^(?:hf|huggingface):/i.test(reference)) return { kind: 'huggingface', model: parseHuggingFace(reference) };
  if (existsSync(reference)) return { kind: 'path', path: reference };
  const entry = findInCatalog(reference);
  if (entry) return { kind: 'catalog', entry };
  if (basename(reference) !== reference || /\.gguf$/i.test(reference)) {
    throw new ModelResolveError(
      `there is no file ${reference}`,
      'Check the path; it is relative to the current folder.',
    );
  }
  throw new ModelResolveError(
    `there is no model named ${reference}`,
    `Name a GGUF file, hf:user/repo[:quant], an https URL, or one of: ${[...readCatalog().keys()].join(', ')}.`,
  );
}

function parseUrl(reference: string): URL {
  try {
    return new URL(reference);
  } catch {
    throw new ModelResolveError(`${reference} is not a valid URL`);
  }
}

function parseHuggingFace(reference: string): HuggingFaceModel {
  const groups = HUGGING_FACE.exec(reference)?.groups;
  if (!groups || hasOddSegment(groups.repository!) || hasOddSegment(groups.file ?? 'file')) {
    throw new ModelResolveError(
      `${reference} names no repository on Hugging Face`,
      'Write hf:user/repo, hf:user/repo:Q8_0 or hf:user/repo/file.gguf.',
    );
  }
  return { repository: groups.repository!, weightType: groups.weightType, file: groups.file };
}

/** What leads elsewhere than it says: into another folder, or to another file than the one that is shown. */
function hasOddSegment(path: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /[\\\u0000-\u001f]/.test(path) || path.split('/').some((segment) => ['', '.', '..'].includes(segment));
}
