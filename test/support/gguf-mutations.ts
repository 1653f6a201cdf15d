import { createRandom } from '../../bench/random.js';
import { SCALAR_BYTES, VALUE_TYPES } from './gguf-format.js';

/** A number in the header of a GGUF file. */
export interface HeaderField {
  name: string;
  at: number;
  bytes: number;
}

/** Bytes to write over a file. */
export interface Mutation {
  name: string;
  at: number;
  bytes: Buffer;
}

/** Of a list of texts, the length of each so many-th: they are all read alike. */
const TEXTS_APART = 8;

/** Every length, count, type, value, size and offset in the header of a file that is whole. */
export function headerFields(file: Buffer): { fields: HeaderField[]; headerBytes: number } {
  const fields: HeaderField[] = [];
  let at = 0;
  const number = (name: string, bytes: number): number => {
    fields.push({ name, at, bytes });
    at += bytes;
    return Number(bytes === 8 ? file.readBigUInt64LE(at - 8) : file.readUIntLE(at - bytes, bytes));
  };
  const string = (name: string): string => {
    const length = number(`${name}: length`, 8);
    at += length;
    return file.toString('utf8', at - length, at);
  };
  const value = (name: string, type: (typeof VALUE_TYPES)[number]): void => {
    if (type === 'string') string(name);
    else if (type === 'array') {
      const of = VALUE_TYPES[number(`${name}: element type`, 4)]!;
      const length = number(`${name}: elements`, 8);
      // Of numbers the first is as good as all: only their count is looked at.
      for (let i = 0; i < length; i++) {
        if (i % (of === 'string' ? TEXTS_APART : length) === 0) value(`${name}[${i}]`, of);
        else at += of === 'string' ? 8 + Number(file.readBigUInt64LE(at)) : SCALAR_BYTES[of as 'int32'];
      }
    } else number(name, SCALAR_BYTES[type]);
  };

  number('magic', 4);
  number('version', 4);
  const tensors = number('tensors', 8);
  const keys = number('keys', 8);
  for (let i = 0; i < keys; i++) {
    const key = string(`key ${i}`);
    value(key, VALUE_TYPES[number(`${key}: type`, 4)]!);
  }
  for (let i = 0; i < tensors; i++) {
    const name = string(`tensor ${i}`);
    const dimensions = number(`${name}: dimensions`, 4);
    for (let d = 0; d < dimensions; d++) number(`${name}: size ${d}`, 8);
    number(`${name}: type`, 4);
    number(`${name}: offset`, 8);
  }
  return { fields, headerBytes: at };
}

/** Each field with each of the values that parsers stumble over. */
export function* hostileNumbers(file: Buffer, fields: readonly HeaderField[]): Generator<Mutation> {
  for (const { name, at, bytes } of fields) {
    const whole = 2n ** BigInt(8 * bytes);
    const now = bytes === 8 ? file.readBigUInt64LE(at) : BigInt(file.readUIntLE(at, bytes));
    const values = new Set(
      [0n, 1n, 2n, now - 1n, now + 1n, now * 2n, whole - 1n, whole / 2n, whole / 2n - 1n, whole / 4n, 255n, 65_536n]
        .map((value) => ((value % whole) + whole) % whole)
        .filter((value) => value !== now),
    );
    for (const value of values) {
      const changed = Buffer.alloc(8);
      changed.writeBigUInt64LE(value);
      yield { name: `${name} = ${value}`, at, bytes: changed.subarray(0, bytes) };
    }
  }
}

/** One to four bytes of the first `headerBytes`, changed at random. */
export function* randomBytes(headerBytes: number, count: number, seed: number): Generator<Mutation[]> {
  const random = createRandom(`gguf/${seed}`);
  for (let i = 0; i < count; i++) {
    yield Array.from({ length: random.integer(1, 5) }, () => {
      const at = random.integer(0, headerBytes);
      const byte = random.integer(0, 256);
      return { name: `byte ${at} = ${byte}`, at, bytes: Buffer.from([byte]) };
    });
  }
}
