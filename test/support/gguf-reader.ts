import { closeSync, openSync, readSync } from 'node:fs';
import {
  GGUF_VERSION,
  type MetadataValue,
  SCALAR_BYTES,
  type ScalarType,
  type ScalarValue,
  VALUE_TYPES,
} from './gguf-format.js';

const WINDOW_BYTES = 1 << 20;

/** Reads a GGUF file's metadata with its types, as the writer takes it: to give a model another model's vocabulary. */
export function readGgufMetadata(path: string): Map<string, MetadataValue> {
  const file = openSync(path, 'r');
  try {
    const take = byteReader(file);
    if (take(4).toString('latin1') !== 'GGUF') throw new Error(`${path} is not a GGUF file`);
    const version = take(4).readUInt32LE();
    if (version !== GGUF_VERSION) throw new Error(`${path} is of GGUF version ${version}, not ${GGUF_VERSION}`);
    take(8); // number of tensors
    const count = Number(take(8).readBigUInt64LE());
    const metadata = new Map<string, MetadataValue>();
    for (let i = 0; i < count; i++) {
      const key = decodeScalar(take, 'string') as string;
      metadata.set(key, decodeValue(take));
    }
    return metadata;
  } finally {
    closeSync(file);
  }
}

/** Takes the next n bytes of the file; what it returned before may be overwritten. */
type Take = (bytes: number) => Buffer;

function byteReader(file: number): Take {
  let window = Buffer.alloc(0);
  let used = 0;
  return (bytes) => {
    if (used + bytes > window.length) {
      const rest = window.subarray(used);
      const next = Buffer.alloc(Math.max(WINDOW_BYTES, bytes));
      const read = readSync(file, next);
      window = Buffer.concat([rest, next.subarray(0, read)]);
      used = 0;
      if (bytes > window.length) throw new Error('the GGUF file ends within its metadata');
    }
    used += bytes;
    return window.subarray(used - bytes, used);
  };
}

function decodeType(take: Take): (typeof VALUE_TYPES)[number] {
  const id = take(4).readUInt32LE();
  const type = VALUE_TYPES[id];
  if (type === undefined) throw new Error(`GGUF value type ${id} is unknown`);
  return type;
}

function decodeValue(take: Take): MetadataValue {
  const type = decodeType(take);
  if (type !== 'array') return { type, value: decodeScalar(take, type) } as ScalarValue;
  const of = decodeType(take);
  if (of === 'array') throw new Error('arrays of arrays are not supported');
  const length = Number(take(8).readBigUInt64LE());
  return { type, of, values: Array.from({ length }, () => decodeScalar(take, of)) };
}

function decodeScalar(take: Take, type: ScalarType): ScalarValue['value'] {
  if (type === 'string') return take(Number(take(8).readBigUInt64LE())).toString('utf8');
  const bytes = take(SCALAR_BYTES[type]);
  switch (type) {
    case 'uint8':
      return bytes.readUInt8();
    case 'int8':
      return bytes.readInt8();
    case 'uint16':
      return bytes.readUInt16LE();
    case 'int16':
      return bytes.readInt16LE();
    case 'uint32':
      return bytes.readUInt32LE();
    case 'int32':
      return bytes.readInt32LE();
    case 'float32':
      return bytes.readFloatLE();
    case 'float64':
      return bytes.readDoubleLE();
    case 'bool':
      return bytes.readUInt8() !== 0;
    case 'uint64':
      return bytes.readBigUInt64LE();
    case 'int64':
      return bytes.readBigInt64LE();
  }
}
