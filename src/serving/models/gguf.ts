/**
 * Reads and checks the header of a GGUF file, version 2 or 3, without loading the model. What is refused here would
 * make llama.cpp refuse the file with a less helpful message, or abort the process.
 *
 * Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
import { open, stat } from 'node:fs/promises';
import { GGML_TYPES } from './ggml-types.js';
import { checkFields, type GgufField, type GgufValue } from './gguf-fields.js';
import { GgufError, type GgufReader, openReader } from './gguf-reader.js';

export type { GgufValue } from './gguf-fields.js';
export { GgufError } from './gguf-reader.js';

export interface GgufTensor {
  name: string;
  /** Type name as in `Q4_K`. */
  type: string;
  /** Elements per dimension, fastest-varying first. */
  shape: number[];
  /** Bytes from the start of the file, and bytes of data. */
  offset: number;
  bytes: number;
}

/** How many tensors, and bytes, are stored in a type. */
export interface WeightType {
  type: string;
  tensors: number;
  bytes: number;
}

export interface GgufInfo {
  version: number;
  /** E.g. `llama`; empty in the later parts of a split model. */
  architecture: string;
  metadata: ReadonlyMap<string, GgufValue>;
  tensors: GgufTensor[];
  weightTypes: WeightType[];
  /** Which part (from 0) of how many this file is. */
  split: { index: number; count: number };
  fileBytes: number;
}

/** Far above any real model (vocabularies of 262k tokens make headers of 7 MB), far below what would hurt. */
const MAX_HEADER_BYTES = 64 * 2 ** 20;
/** llama.cpp compares each key, and each tensor's name, with all before it. */
const MAX_METADATA_KEYS = 2 ** 13;
const MAX_TENSORS = 2 ** 15;
const MAX_TOKENS = 2 ** 22;
/** The format's own limit. */
const MAX_KEY_BYTES = 2 ** 16 - 1;
/** Real files have 32; each tensor may be padded by as much. */
const MAX_ALIGNMENT = 2 ** 16;
/** llama.cpp's own limits. */
const MAX_TENSOR_NAME_BYTES = 63;
const MAX_DIMENSIONS = 4;

/**
 * Header of the GGUF file at `path`: architecture, metadata, tensors. Reads the header only, in one pass (0.2 s for
 * the largest vocabularies, 262k tokens), and checks that all tensors lie inside the file.
 *
 * @throws GgufError when it is not GGUF, cut short or damaged; the file system's own errors.
 */
export async function inspectGguf(path: string): Promise<GgufInfo> {
  // Opening a pipe would wait for somebody to write into it.
  if (!(await stat(path)).isFile()) throw new GgufError('not a file but a folder, a device or a pipe');
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    return readHeader(openReader(file.fd, size, MAX_HEADER_BYTES), size);
  } finally {
    await file.close();
  }
}

function readHeader(reader: GgufReader, fileBytes: number): GgufInfo {
  checkMagic(reader, fileBytes);
  const version = reader.uint32('the version');
  if (version < 2 || version > 3) {
    const swapped = (version & 0xffff) === 0;
    throw new GgufError(
      swapped
        ? 'this is a big-endian GGUF file; a little-endian one is needed'
        : `GGUF version ${version} is not supported (2 and 3 are)`,
    );
  }
  const tensorCount = count(reader, 'the number of tensors', MAX_TENSORS, 'tensors');
  const keyCount = count(reader, 'the number of metadata keys', MAX_METADATA_KEYS, 'metadata keys');

  const fields = new Map<string, GgufField>();
  for (let i = 0; i < keyCount; i++) {
    const offset = reader.position();
    const key = reader.string(`metadata key ${i}`, 'utf8', MAX_KEY_BYTES);
    if (key === '' || fields.has(key)) {
      throw new GgufError(`damaged: metadata key ${i} is empty or there twice`, offset);
    }
    fields.set(key, readField(reader, key));
  }
  const tensors = readTensors(reader, tensorCount, alignmentOf(fields.get('general.alignment')), fileBytes);
  checkFields(fields);
  const metadata = new Map([...fields].map(([key, { value }]) => [key, value]));
  return {
    version,
    architecture: text(metadata, 'general.architecture'),
    metadata,
    tensors,
    weightTypes: weightTypesOf(tensors),
    split: { index: integer(metadata, 'split.no', 0), count: integer(metadata, 'split.count', 1) },
    fileBytes,
  };
}

function checkMagic(reader: GgufReader, fileBytes: number): void {
  if (fileBytes === 0) throw new GgufError('the file is empty');
  if (fileBytes < 4) throw new GgufError('not a GGUF file');
  const magic = reader.value(4, 'the magic number', (buffer, at) => buffer.toString('latin1', at, at + 4));
  if (magic === 'GGUF') return;
  // Two mistakes that are easy to make and hard to see: a pointer instead of the file, and an error page saved as one.
  if (magic === 'vers') {
    throw new GgufError('not a GGUF file but a Git LFS pointer to one (run `git lfs pull` where it came from)');
  }
  if (/^\s*</.test(magic)) throw new GgufError('not a GGUF file but a web page');
  throw new GgufError('not a GGUF file');
}

function count(reader: GgufReader, what: string, max: number, things: string): number {
  const offset = reader.position();
  const value = reader.length(what);
  if (value > max)
    throw new GgufError(`damaged: the header states ${value} ${things}, at most ${max} are allowed`, offset);
  return value;
}

interface ValueType {
  name: string;
  bytes: number;
  read(buffer: Buffer, at: number): GgufValue;
}

const ARRAY = 9;
const STRING = 8;

const SCALARS: ReadonlyMap<number, ValueType> = new Map([
  [0, { name: 'uint8', bytes: 1, read: (b: Buffer, at: number) => b.readUInt8(at) }],
  [1, { name: 'int8', bytes: 1, read: (b: Buffer, at: number) => b.readInt8(at) }],
  [2, { name: 'uint16', bytes: 2, read: (b: Buffer, at: number) => b.readUInt16LE(at) }],
  [3, { name: 'int16', bytes: 2, read: (b: Buffer, at: number) => b.readInt16LE(at) }],
  [4, { name: 'uint32', bytes: 4, read: (b: Buffer, at: number) => b.readUInt32LE(at) }],
  [5, { name: 'int32', bytes: 4, read: (b: Buffer, at: number) => b.readInt32LE(at) }],
  [6, { name: 'float32', bytes: 4, read: (b: Buffer, at: number) => b.readFloatLE(at) }],
  [7, { name: 'bool', bytes: 1, read: (b: Buffer, at: number) => b.readUInt8(at) !== 0 }],
  [10, { name: 'uint64', bytes: 8, read: (b: Buffer, at: number) => narrow(b.readBigUInt64LE(at)) }],
  [11, { name: 'int64', bytes: 8, read: (b: Buffer, at: number) => narrow(b.readBigInt64LE(at)) }],
  [12, { name: 'float64', bytes: 8, read: (b: Buffer, at: number) => b.readDoubleLE(at) }],
]);

function narrow(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function readField(reader: GgufReader, key: string): GgufField {
  const what = `the value of ${key}`;
  const typeOffset = reader.position();
  const code = reader.uint32(what);
  const offset = reader.position();
  if (code === STRING) return { type: 'string', value: reader.string(what), offset };
  if (code === ARRAY) return { type: 'array', value: readArray(reader, key), offset };
  const scalar = SCALARS.get(code);
  if (!scalar) throw new GgufError(`damaged: ${key} has the unknown value type ${code}`, typeOffset);
  return { type: scalar.name, value: reader.value(scalar.bytes, what, scalar.read), offset };
}

function readArray(reader: GgufReader, key: string): GgufValue {
  const what = `the array ${key}`;
  const offset = reader.position();
  const code = reader.uint32(what);
  const length = reader.length(`the length of ${what}`);
  if (code === STRING) {
    if (key === 'tokenizer.ggml.tokens') checkTokens(reader, length);
    else reader.skipStrings(length, what);
    return { arrayOf: 'string', length };
  }
  const scalar = SCALARS.get(code);
  if (!scalar) throw new GgufError(`damaged: ${key} is an array of the unknown type ${code}`, offset);
  reader.skip(length * scalar.bytes, what);
  return { arrayOf: scalar.name, length };
}

/** Two tokens of the same text abort the process that loads the vocabulary. (Empty ones are given names.) */
function checkTokens(reader: GgufReader, length: number): void {
  if (length > MAX_TOKENS) {
    throw new GgufError(`damaged: the vocabulary is said to have ${length} tokens`, reader.position() - 8);
  }
  const known = new Set<string>();
  for (let token = 0; token < length; token++) {
    const offset = reader.position();
    // Byte by byte: tokens may be parts of characters, which differ but are all the same as UTF-8.
    const bytes = reader.string('a token of the vocabulary', 'latin1') || `[EMPTY_${token}]`;
    if (known.has(bytes)) throw new GgufError(`damaged: token ${token} of the vocabulary is there twice`, offset);
    known.add(bytes);
  }
}

function alignmentOf(field: GgufField | undefined): number {
  if (field === undefined) return 32;
  const { type, value, offset } = field;
  if (type !== 'uint32' || typeof value !== 'number' || value < 1 || !Number.isInteger(Math.log2(value))) {
    throw new GgufError(`damaged: general.alignment of ${String(value)} (${type}) is no power of two (uint32)`, offset);
  }
  if (value > MAX_ALIGNMENT) {
    throw new GgufError(`damaged: general.alignment is ${value}, at most ${MAX_ALIGNMENT} is allowed`, offset);
  }
  return value;
}

function readTensors(reader: GgufReader, tensorCount: number, alignment: number, fileBytes: number): GgufTensor[] {
  const tensors: GgufTensor[] = [];
  const names = new Set<string>();
  const pad = (bytes: number) => Math.ceil(bytes / alignment) * alignment;
  /** Tensors follow each other in the order of their headers, each padded; llama.cpp accepts nothing else. */
  let expectedOffset = 0;
  for (let i = 0; i < tensorCount; i++) {
    const start = reader.position();
    const name = reader.string(`the name of tensor ${i}`, 'utf8', MAX_TENSOR_NAME_BYTES);
    if (names.has(name)) throw new GgufError(`damaged: there are two tensors named ${name}`, start);
    names.add(name);
    const shape = readShape(reader, name);
    const typeOffset = reader.position();
    const code = reader.uint32(`the type of ${name}`);
    const type = GGML_TYPES.get(code);
    if (!type) throw new GgufError(`${name} is stored in type ${code}, which this llama.cpp does not know`, typeOffset);
    if (shape[0]! % type.blockSize !== 0) {
      throw new GgufError(
        `damaged: rows of ${name} (${shape[0]} elements) do not divide into blocks of ${type.name}`,
        typeOffset,
      );
    }
    const bytes = (shape.reduce((product, n) => product * n, 1) / type.blockSize) * type.blockBytes;
    const offset = reader.length(`the offset of ${name}`);
    if (offset !== expectedOffset) {
      throw new GgufError(
        `damaged: ${name} is said to be at data offset ${offset}, not ${expectedOffset}`,
        reader.position() - 8,
      );
    }
    expectedOffset = pad(offset + bytes);
    tensors.push({ name, type: type.name, shape, offset, bytes });
  }
  const dataStart = pad(reader.position());
  for (const tensor of tensors) tensor.offset += dataStart;
  const last = tensors.at(-1);
  if (last && last.offset + last.bytes > fileBytes) {
    throw new GgufError(`truncated: the tensors need ${last.offset + last.bytes} bytes, the file has ${fileBytes}`);
  }
  return tensors;
}

function readShape(reader: GgufReader, name: string): number[] {
  const start = reader.position();
  const dimensions = reader.uint32(`the shape of ${name}`);
  if (dimensions > MAX_DIMENSIONS) throw new GgufError(`damaged: ${name} has ${dimensions} dimensions`, start);
  const shape = Array.from({ length: dimensions }, () => reader.length(`the shape of ${name}`));
  if (dimensions === 0) shape.push(1);
  if (shape.includes(0) || !Number.isSafeInteger(shape.reduce((product, n) => product * n, 1))) {
    throw new GgufError(`damaged: ${name} has the shape ${shape.join(' × ')}`, start);
  }
  return shape;
}

/** The types that tensors are stored in, by bytes of data, largest first. */
export function weightTypesOf(tensors: readonly GgufTensor[]): WeightType[] {
  const byType = new Map<string, WeightType>();
  for (const { type, bytes } of tensors) {
    const entry = byType.get(type) ?? { type, tensors: 0, bytes: 0 };
    entry.tensors++;
    entry.bytes += bytes;
    byType.set(type, entry);
  }
  return [...byType.values()].sort((a, b) => b.bytes - a.bytes);
}

function text(metadata: ReadonlyMap<string, GgufValue>, key: string): string {
  const value = metadata.get(key);
  return typeof value === 'string' ? value : '';
}

function integer(metadata: ReadonlyMap<string, GgufValue>, key: string, fallback: number): number {
  const value = metadata.get(key);
  return typeof value === 'number' && Number.isInteger(value) ? value : fallback;
}
