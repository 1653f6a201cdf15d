/**
 * Which files of a Hugging Face repository make up a model, with sizes and checksums. API:
 * https://huggingface.co/docs/hub/api. `HF_ENDPOINT` (a mirror) and `HF_TOKEN` mean what they mean to Hugging Face's tools.
 */
import { basename } from 'node:path';
import { z } from 'zod';
import type { RemoteFile } from './download.js';
import { ModelResolveError } from './errors.js';
import { localName, modelStem, splitParts, weightTypeOf } from './file-name.js';
import { readJson, request, statusError } from './http.js';

export interface HuggingFaceModel {
  /** `user/repo`. */
  repository: string;
  /** One file, or the first part of a split one; or else a weight type such as `Q8_0`; or neither: the usual one. */
  file?: string | undefined;
  weightType?: string | undefined;
}

/** Tried in this order when no weight type is asked for: small and good enough, then what runs fastest here. */
const USUAL_WEIGHT_TYPES = ['Q4_K_M', 'Q8_0', 'Q4_0', 'BF16', 'F16'];

const Tree = z.array(
  z.object({
    type: z.string(),
    path: z.string(),
    size: z.number().int().nonnegative(),
    /** Large files have their SHA-256 here. */
    lfs: z.object({ oid: z.string().regex(/^[0-9a-f]{64}$/) }).optional(),
  }),
);

/**
 * Asks the hub for the model's files, all parts in order.
 *
 * @throws ModelResolveError when the hub cannot be reached or has no such repository, file or weight type.
 */
export async function locateOnHuggingFace(model: HuggingFaceModel, signal?: AbortSignal): Promise<RemoteFile[]> {
  const endpoint = (process.env.HF_ENDPOINT ?? 'https://huggingface.co').replace(/\/$/, '');
  const token = process.env.HF_TOKEN;
  const headers = token ? { authorization: `Bearer ${token}` } : undefined;
  const url = `${endpoint}/api/models/${model.repository}/tree/main?recursive=true`;
  const response = await request(url, { headers, signal });
  if (!response.ok) throw await statusError(url, response);
  const tree = Tree.safeParse(await readJson(url, response, signal));
  if (!tree.success) throw new ModelResolveError(`${new URL(url).host} gave an answer that is not a list of files`);

  const files = new Map(tree.data.filter(({ type }) => type === 'file').map((file) => [file.path, file]));
  return splitParts(chooseFile(model, [...files.keys()])).map((path) => {
    const file = files.get(path);
    if (!file) {
      throw new ModelResolveError(`${model.repository} has no file ${path}`, 'Check the spelling of the file.');
    }
    const address = path.split('/').map(encodeURIComponent).join('/');
    return {
      url: `${endpoint}/${model.repository}/resolve/main/${address}`,
      name: localName(path),
      bytes: file.size,
      sha256: file.lfs?.oid,
      headers,
    };
  });
}

function chooseFile({ repository, file, weightType }: HuggingFaceModel, paths: readonly string[]): string {
  if (file !== undefined) return file;
  // One entry per model: first parts only; projectors of vision models and importance matrices are not models.
  const models = paths.filter(
    (path) => /\.gguf$/i.test(path) && splitParts(path)[0] === path && !/mmproj|imatrix/i.test(basename(path)),
  );
  const available = models.map((path) => weightTypeOf(basename(path)) ?? modelStem(basename(path)));
  for (const wanted of weightType ? [weightType.toUpperCase()] : USUAL_WEIGHT_TYPES) {
    const found = models[available.indexOf(wanted)];
    if (found !== undefined) return found;
  }
  if (weightType === undefined && models.length === 1) return models[0]!;
  if (models.length === 0) {
    throw new ModelResolveError(
      `${repository} has no GGUF files`,
      'Repositories with GGUF files usually have names that end in -GGUF.',
    );
  }
  throw new ModelResolveError(
    `${repository} has no file of ${weightType ? `weight type ${weightType}` : 'the usual weight types'}`,
    `Choose one, as in hf:${repository}:${available[0]}. There are: ${available.join(', ')}.`,
  );
}
