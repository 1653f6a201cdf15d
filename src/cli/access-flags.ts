import { type Command, Option } from 'commander';
import type { TlsFiles } from '../api/index.js';
import { CliError } from './cli-error.js';
import { parsePort } from './flags.js';

/** Flags about who may do what, and over which connection. */
export interface AccessFlags {
  apiKey?: string[];
  apiKeysFile?: string;
  sharePrefixesBetweenKeys?: boolean;
  adminPort?: number;
  sslCertfile?: string;
  sslKeyfile?: string;
  sslCaCerts?: string;
}

export function addAccessFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--api-key <key>', 'key that clients must send; may be repeated')
        .argParser((key: string, keys: string[] = []) => [...keys, key])
        .env('QUIRE_API_KEY'),
    )
    .option('--api-keys-file <path>', 'file of hashed keys with scopes, see `quire keys`; read again when it changes')
    .option(
      '--share-prefixes-between-keys',
      'let requests with different keys share KV cache: timing then tells of them',
    )
    .option('--admin-port <port>', 'port on 127.0.0.1 for /admin/…; 0 for any free one (default: none)', parsePort)
    .option('--ssl-certfile <path>', 'certificate to serve HTTPS with, PEM; read again when it changes')
    .option('--ssl-keyfile <path>', 'private key of the certificate, PEM (default: in --ssl-certfile)')
    .option('--ssl-ca-certs <path>', "authorities that must have signed clients' certificates, PEM");
}

/**
 * The keys of `--api-key` or, without one, of `QUIRE_API_KEY`, which may have several between commas or white space.
 *
 * @throws CliError for a key that is empty: it was meant to be one, and without keys everybody would be let in
 */
export function apiKeysOf(command: Command): string[] | undefined {
  const given = command.getOptionValue('apiKey') as string[] | undefined;
  if (given === undefined) return undefined;
  const fromEnvironment = command.getOptionValueSource('apiKey') === 'env';
  const keys = fromEnvironment ? given.flatMap((text) => text.split(/[\s,]+/)).filter((key) => key !== '') : given;
  if (keys.length > 0 && keys.every((key) => key.trim() !== '')) return keys;
  throw new CliError(`${fromEnvironment ? 'QUIRE_API_KEY' : '--api-key'} is empty`, {
    hint: 'Give it a key, or leave it out (unset QUIRE_API_KEY) to serve without keys.',
    exitCode: 2,
  });
}

/** @throws CliError when a flag lacks another one */
export function tlsOf({ sslCertfile, sslKeyfile, sslCaCerts }: AccessFlags): TlsFiles | undefined {
  if (sslCertfile !== undefined) return { certFile: sslCertfile, keyFile: sslKeyfile, caFile: sslCaCerts };
  if (sslKeyfile === undefined && sslCaCerts === undefined) return undefined;
  throw new CliError(`${sslKeyfile === undefined ? '--ssl-ca-certs' : '--ssl-keyfile'} needs --ssl-certfile`, {
    hint: 'Name the certificate to serve HTTPS with.',
    exitCode: 2,
  });
}
