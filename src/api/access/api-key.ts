import { createHash, randomBytes } from 'node:crypto';

/** What a key opens: the API, the admin port, and `/metrics`. */
export const SCOPES = ['inference', 'admin', 'metrics'] as const;

export type Scope = (typeof SCOPES)[number];

/** A key as the server knows it: never the key itself. */
export interface ApiKey {
  /** For people: logs and `GET /admin/keys`. */
  name: string;
  scopes: readonly Scope[];
  /** SHA-256 of the key, 32 bytes. */
  digest: Buffer;
  /** Where it comes from: the key file, or the command line, the environment or a program. */
  source: 'file' | 'options';
}

/** Beginning of every key that {@link newApiKey} makes, by which scanners for leaked secrets can know one. */
const PREFIX = 'sk-quire-';

/** A new key of 256 random bits. */
export function newApiKey(): string {
  return `${PREFIX}${randomBytes(32).toString('base64url')}`;
}

/**
 * What is stored of a key and compared. One round of SHA-256 is enough for keys of {@link newApiKey}: nobody can try 2^256 keys,
 * however fast. A slow hash would only guard keys that people make up, and would cost every request what it costs a guess.
 */
export function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
