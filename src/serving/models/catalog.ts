/** Models that have a name: `models/catalog.json`, described in the README next to it. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const HuggingFaceSource = z.strictObject({ huggingface: z.string(), weightType: z.string() });

const PackageSource = z.strictObject({
  file: z.string().regex(/^[\w.-]+\.gguf$/),
  bytes: z.number().int().positive(),
  sha256,
  packages: z.array(z.strictObject({ requirement: z.string(), member: z.string() })).min(1),
});

const Entry = z.strictObject({
  /** What it is served as. */
  name: z.string(),
  aliases: z.array(z.string()).default([]),
  description: z.string(),
  license: z.string(),
  /** Tried in order. */
  sources: z.array(z.union([HuggingFaceSource, PackageSource])).min(1),
});

export type CatalogEntry = z.infer<typeof Entry>;
export type CatalogSource = CatalogEntry['sources'][number];

/** The default model: small enough to try everything with. */
export const DEFAULT_MODEL = 'smollm2-135m-instruct';

let catalog: ReadonlyMap<string, CatalogEntry> | undefined;

/** All entries by the name to ask for; read once. */
export function readCatalog(): ReadonlyMap<string, CatalogEntry> {
  // The same distance from src/ and from dist/.
  const file = new URL('../../../models/catalog.json', import.meta.url);
  catalog ??= new Map(Object.entries(z.record(z.string(), Entry).parse(JSON.parse(readFileSync(file, 'utf8')))));
  return catalog;
}

/** The entry that goes by `name`, in any case, or has it as an alias. */
export function findInCatalog(name: string): CatalogEntry | undefined {
  const wanted = name.toLowerCase();
  for (const [key, entry] of readCatalog()) {
    if (key === wanted || entry.aliases.includes(wanted)) return entry;
  }
  return undefined;
}
