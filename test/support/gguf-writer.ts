import { closeSync, openSync, writeSync } from 'node:fs';
import {
  GGUF_VERSION,
  type Metadata,
  type MetadataValue,
  SCALAR_BYTES,
  type ScalarType,
  type ScalarValue,
  VALUE_TYPES,
} from './gguf-format.js';

export interface GgufTensor {
  name: string;
  /** Sizes, fastest-running first: a matrix of r rows and c columns is [c, r]. */
  shape: readonly number[];
  type: 'F32' | 'F16';
  /** All values in order, in pieces of any length. A piece is written before the next is asked for. */
  values(): Iterable<Float32Array>;
}

const TENSOR_TYPES = { F32: { id: 0, bytes: 4 }, F16: { id: 1, bytes: 2 } };

/** Tensors begin at multiples of this, the format's default. */
const ALIGNMENT = 32;

/** Writes a GGUF file, holding one piece of one tensor in memory at a time. */
export function writeGguf(path: string, metadata: Metadata, tensors: readonly GgufTensor[]): void {
  const file = openSync(path, 'w');
  try {
    const header = encodeHeader(metadata, tensors);
    writeAll(file, header);
    writeAll(file, Buffer.alloc(padding(header.length)));
    for (const tensor of tensors) {
      let bytes = 0;
      for (const piece of tensor.values()) {
        bytes += writeAll(file, tensor.type === 'F16' ? toFloat16(piece) : piece);
      }
      if (bytes !== tensorBytes(tensor)) throw new Error(`${tensor.name}: ${bytes} bytes, not ${tensorBytes(tensor)}`);
      writeAll(file, Buffer.alloc(padding(bytes)));
    }
  } finally {
    closeSync(file);
  }
}

function writeAll(file: number, data: NodeJS.ArrayBufferView): number {
  let written = 0;
  while (written < data.byteLength) {
    written += writeSync(file, data, written, data.byteLength - written);
  }
  return written;
}

function padding(bytes: number): number {
  return (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;
}

function tensorBytes({ shape, type }: GgufTensor): number {
  return shape.reduce((product, size) => product * size, TENSOR_TYPES[type].bytes);
}

function encodeHeader(metadata: Metadata, tensors: readonly GgufTensor[]): Buffer {
  const parts = [
    Buffer.from('GGUF'),
    encodeScalar('uint32', GGUF_VERSION),
    encodeScalar('uint64', BigInt(tensors.length)),
    encodeScalar('uint64', BigInt(metadata.size)),
  ];
  for (const [key, value] of metadata) parts.push(encodeScalar('string', key), encodeValue(value));
  let offset = 0;
  for (const tensor of tensors) {
    parts.push(
      encodeScalar('string', tensor.name),
      encodeScalar('uint32', tensor.shape.length),
      ...tensor.shape.map((size) => encodeScalar('uint64', BigInt(size))),
      encodeScalar('uint32', TENSOR_TYPES[tensor.type].id),
      encodeScalar('uint64', BigInt(offset)),
    );
    const bytes = tensorBytes(tensor);
    offset += bytes + padding(bytes);
  }
  return Buffer.concat(parts);
}

function encodeValue(value: MetadataValue): Buffer {
  const type = encodeScalar('uint32', VALUE_TYPES.indexOf(value.type));
  if (value.type !== 'array') return Buffer.concat([type, encodeScalar(value.type, value.value)]);
  return Buffer.concat([
    type,
    encodeScalar('uint32', VALUE_TYPES.indexOf(value.of)),
    encodeScalar('uint64', BigInt(value.values.length)),
    ...value.values.map((element) => encodeScalar(value.of, element)),
  ]);
}

function encodeScalar(type: ScalarType, value: ScalarValue['value']): Buffer {
  if (type === 'string') {
    const text = Buffer.from(value as string);
    return Buffer.concat([encodeScalar('uint64', BigInt(text.length)), text]);
  }
  const bytes = Buffer.alloc(SCALAR_BYTES[type]);
  switch (type) {
    case 'uint8':
      bytes.writeUInt8(value as number);
      break;
    case 'int8':
      bytes.writeInt8(value as number);
      break;
    case 'uint16':
      bytes.writeUInt16LE(value as number);
      break;
    case 'int16':
      bytes.writeInt16LE(value as number);
      break;
    case 'uint32':
      bytes.writeUInt32LE(value as number);
      break;
    case 'int32':
      bytes.writeInt32LE(value as number);
      break;
    case 'float32':
      bytes.writeFloatLE(value as number);
      break;
    case 'float64':
      bytes.writeDoubleLE(value as number);
      break;
    case 'bool':
      bytes.writeUInt8(value ? 1 : 0);
      break;
    case 'uint64':
      bytes.writeBigUInt64LE(value as bigint);
      break;
    case 'int64':
      bytes.writeBigInt64LE(value as bigint);
      break;
  }
  return bytes;
}

/** IEEE 754 binary16 of each value, rounded to nearest, ties to even. */
export function toFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) halves[i] = halfBits(bits[i] as number);
  return halves;
}

function halfBits(single: number): number {
  const sign = (single >>> 16) & 0x8000;
  const magnitude = single & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // rounds to 2^16 or more: infinity
  if (magnitude >= 0x38800000) {
    // Normal in both: move the exponent's bias from 127 to 15, then round off 13 bits of the significand.
    const rebased = magnitude - 0x38000000;
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  // Subnormal in binary16: count units of 2^-24. Multiplying by a power of two is exact, and so is the comparison.
  const exponent = magnitude >>> 23;
  const shift = 126 - exponent;
  if (shift > 24) return sign;
  const significand = (magnitude & 0x7fffff) | 0x800000;
  const units = significand >>> shift;
  const rest = significand & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (units + (rest > half || (rest === half && (units & 1) === 1) ? 1 : 0));
}
