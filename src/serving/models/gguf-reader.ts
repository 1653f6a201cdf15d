import { readSync } from 'node:fs';

/** The file is not a GGUF file, or is damaged in a way that can be told from its header and its length. */
export class GgufError extends Error {
  /** Where in the file, in bytes; undefined when it is about the file as a whole. */
  readonly offset: number | undefined;

  constructor(message: string, offset?: number) {
    super(offset === undefined ? message : `${message} (at byte ${offset})`);
    this.name = new.target.name;
    this.offset = offset;
  }
}

const CHUNK_BYTES = 1 << 20;

/**
 * Reads little-endian values from the start of a file, front to back, through one buffer of 1 MiB.
 *
 * Every length that the file states is compared with the bytes it has left, and with `limit`, before anything is
 * allocated: a hostile file costs no more memory than its own first `limit` bytes.
 *
 * @throws GgufError where the file ends early.
 */
export function openReader(fd: number, fileBytes: number, limit: number) {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  /** File offset of `buffer[0]`, number of valid bytes in it, and the next byte to read. */
  let base = 0;
  let filled = 0;
  let cursor = 0;

  const position = () => base + cursor;

  function check(bytes: number, what: string): void {
    const end = position() + bytes;
    if (end > fileBytes) {
      throw new GgufError(`truncated: ${what} ends at byte ${end}, the file has ${fileBytes} bytes`, position());
    }
    if (end > limit) {
      throw new GgufError(`damaged: ${what} would make the header longer than ${limit} bytes`, position());
    }
  }

  /** Makes the next `bytes` (at most a chunk) available at `cursor`. */
  function need(bytes: number, what: string): void {
    if (cursor + bytes <= filled) return;
    check(bytes, what);
    base += cursor;
    cursor = 0;
    filled = readSync(fd, buffer, 0, CHUNK_BYTES, base);
    if (filled < bytes) throw new GgufError(`truncated: the file became shorter while ${what} was read`);
  }

  function advance(bytes: number): number {
    const at = cursor;
    cursor += bytes;
    return at;
  }

  const reader = {
    position,

    /** Calls one of Buffer's fixed-width readers. */
    value<T>(bytes: number, what: string, read: (buffer: Buffer, offset: number) => T): T {
      need(bytes, what);
      return read(buffer, advance(bytes));
    },

    uint32: (what: string) => reader.value(4, what, (b, at) => b.readUInt32LE(at)),

    /** An unsigned 64-bit number that has to be a length or a count. */
    length(what: string): number {
      need(8, what);
      const at = advance(8);
      // Halves, as BigInts would take most of the time that the strings of a vocabulary take.
      const value = buffer.readUInt32LE(at) + buffer.readUInt32LE(at + 4) * 2 ** 32;
      if (!Number.isSafeInteger(value)) throw new GgufError(`damaged: ${what} is ${value}`, position() - 8);
      return value;
    },

    /** Passes over bytes without reading them. */
    skip(bytes: number, what: string): void {
      check(bytes, what);
      cursor += bytes;
      if (cursor > filled) {
        base += cursor;
        cursor = 0;
        filled = 0;
      }
    },

    /** A length and as many bytes of text, at most `most`. */
    string(what: string, encoding: 'utf8' | 'latin1' = 'utf8', most = limit): string {
      const bytes = reader.length(what);
      check(bytes, what);
      if (bytes > most) {
        throw new GgufError(`damaged: ${what} has ${bytes} bytes, at most ${most} are allowed`, position() - 8);
      }
      if (bytes <= CHUNK_BYTES) {
        need(bytes, what);
        const at = advance(bytes);
        return buffer.toString(encoding, at, at + bytes);
      }
      const long = Buffer.allocUnsafe(bytes);
      if (readSync(fd, long, 0, bytes, position()) < bytes) throw new GgufError(`truncated: in ${what}`);
      reader.skip(bytes, what);
      return long.toString(encoding);
    },

    skipStrings(count: number, what: string): void {
      for (let i = 0; i < count; i++) reader.skip(reader.length(what), what);
    },
  };
  return reader;
}

export type GgufReader = ReturnType<typeof openReader>;
