import { z } from 'zod';
import { type ApiKey, SCOPES } from './api-key.js';

/** A key file cannot be read or means nothing. The message never repeats what is in it: that may be a key. */
export class KeyFileError extends Error {
  readonly hint: string | undefined;

  constructor(message: string, hint?: string, cause?: unknown) {
    super(message, { cause });
    this.name = new.target.name;
    this.hint = hint;
  }
}

const HASH = 'must be `sha256:` and 64 hexadecimal digits, as `quire keys create` writes it, and not the key itself';
const NAME = 'must be 1 to 64 letters, digits and . _ : @ -';

const Entry = z.strictObject({
  name: z.string({ error: NAME }).regex(/^[\w.:@-]{1,64}$/, { error: NAME }),
  scopes: z
    .array(z.enum(SCOPES, { error: `must be of ${SCOPES.join(', ')}` }), { error: 'must be a list' })
    .min(1, { error: 'must not be empty' })
    .default(['inference']),
  hash: z.string({ error: HASH }).regex(/^sha256:[0-9a-f]{64}$/, { error: HASH }),
  /** For people. */
  created: z.string().optional(),
});

export type KeyEntry = z.infer<typeof Entry>;

const KeyFile = z.strictObject({ keys: z.array(Entry) });

/**
 * The keys in a file: JSON, `{"keys": [{"name", "scopes", "hash"}]}`, or lines of `sha256:… [name] [scope,scope]`, of which
 * empty ones and those that begin with # are skipped.
 *
 * @throws KeyFileError
 */
export function parseKeyFile(text: string): ApiKey[] {
  const entries = isJson(text) ? parseJson(text) : parseLines(text);
  const keys = entries.map(({ name, scopes, hash }): ApiKey => {
    return { name, scopes, digest: Buffer.from(hash.slice('sha256:'.length), 'hex'), source: 'file' };
  });
  for (const field of ['name', 'hash'] as const) {
    const values = entries.map((entry) => entry[field]);
    const repeated = values.findIndex((value, i) => values.indexOf(value) !== i);
    if (repeated >= 0) throw new KeyFileError(`two keys have the ${field} of key ${entries[repeated]?.name}`);
  }
  return keys;
}

/**
 * The text of a key file with one more key, in the form that it has.
 *
 * @throws KeyFileError
 */
export function withKey(text: string, entry: KeyEntry): string {
  if (text.trim() !== '' && !isJson(text)) {
    const line = [entry.hash, entry.name, entry.scopes.join(',')].join(' ');
    return `${text}${text.endsWith('\n') ? '' : '\n'}${line}\n`;
  }
  const keys = text.trim() === '' ? [] : parseJson(text);
  return `${JSON.stringify({ keys: [...keys, entry] }, null, 2)}\n`;
}

function isJson(text: string): boolean {
  return /^\s*[[{]/.test(text);
}

function parseJson(text: string): KeyEntry[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new KeyFileError('it is not valid JSON');
  }
  const result = KeyFile.safeParse(value);
  if (result.success) return result.data.keys;
  const [issue] = result.error.issues;
  const [, index, ...path] = issue?.path ?? [];
  if (index === undefined) throw new KeyFileError('it must be an object with `keys`, a list, and nothing else');
  throw new KeyFileError(`key ${Number(index) + 1}: ${path.join('.')} ${messageOf(issue!)}`);
}

function parseLines(text: string): KeyEntry[] {
  return text.split('\n').flatMap((line, i) => {
    const [hash = '', name, scopes, ...rest] = line.trim().split(/\s+/);
    if (hash === '' || hash.startsWith('#')) return [];
    const entry = { hash, name: name ?? `line-${i + 1}`, ...(scopes !== undefined && { scopes: scopes.split(',') }) };
    const result = Entry.safeParse(entry);
    if (result.success && rest.length === 0) return [result.data];
    const [issue] = result.error?.issues ?? [];
    const fault = issue ? `${String(issue.path[0])} ${messageOf(issue)}` : 'has more than a hash, a name and scopes';
    throw new KeyFileError(`line ${i + 1}: ${fault}`);
  });
}

/** Zod's own words for a key that is not known would repeat it. */
function messageOf(issue: z.core.$ZodIssue): string {
  return issue.code === 'unrecognized_keys' ? 'has a field that is not name, scopes, hash or created' : issue.message;
}
