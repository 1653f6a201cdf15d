import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';

/** Paths of files in PEM format. */
export interface TlsFiles {
  /** The server's certificate, and behind it those between it and a known authority. */
  certFile: string;
  /** Its private key; left out: in `certFile`. */
  keyFile?: string | undefined;
  /** Authorities of which one must have signed the certificate of every client; left out: clients need none. */
  caFile?: string | undefined;
}

/** The files of a certificate cannot be used. */
export class TlsError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string, cause?: unknown) {
    super(message, { cause });
    this.name = new.target.name;
    this.hint = hint;
  }
}

/**
 * Reads and checks what a server needs for HTTPS; for `https.createServer` and `Server.setSecureContext`.
 *
 * @throws TlsError
 */
export function readTls({ certFile, keyFile = certFile, caFile }: TlsFiles) {
  const options = {
    cert: read(certFile, 'certificate'),
    key: read(keyFile, 'private key'),
    ...(caFile !== undefined && {
      ca: read(caFile, 'certificates of authorities'),
      requestCert: true,
      rejectUnauthorized: true,
    }),
  };
  try {
    createSecureContext({ cert: options.cert });
    // OpenSSL takes authorities that are none without a word, and nobody would be let in.
    if (options.ca !== undefined) new X509Certificate(options.ca);
  } catch (error) {
    const files = [certFile, caFile].filter((file) => file !== undefined).join(' or ');
    throw new TlsError(`${files} has no certificate: ${reasonOf(error)}`, 'It must be in PEM format.', error);
  }
  try {
    createSecureContext(options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH') {
      throw new TlsError(
        `the private key in ${keyFile} is not that of the certificate in ${certFile}`,
        "In a file with several certificates the first must be the server's own.",
        error,
      );
    }
    const hint = 'It must be in PEM format and without a passphrase (openssl pkey -in FILE -out NEW removes one).';
    throw new TlsError(`${keyFile} has no usable private key: ${reasonOf(error)}`, hint, error);
  }
  return options;
}

function read(file: string, what: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const hint = 'Check --ssl-certfile, --ssl-keyfile and --ssl-ca-certs, and who may read the files.';
    throw new TlsError(`the ${what} cannot be read: ${(error as Error).message}`, hint, error);
  }
}

/** The last part of what OpenSSL says: `error:0480006C:PEM routines::no start line`. */
function reasonOf(error: unknown): string {
  return (error as Error).message.split(':').at(-1) ?? '';
}
