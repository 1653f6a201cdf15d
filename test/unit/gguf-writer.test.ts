import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { readGgufFileInfo } from 'node-llama-cpp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Metadata, MetadataValue } from '../support/gguf-format.js';
import { readGgufMetadata } from '../support/gguf-reader.js';
import { toFloat16, writeGguf } from '../support/gguf-writer.js';

let directory: string;
let path: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'quire-gguf-'));
  path = join(directory, 'file.gguf');
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

const METADATA: Metadata = new Map<string, MetadataValue>([
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['general.name', { type: 'string', value: 'Größe 量 🦙' }],
  ['t.uint8', { type: 'uint8', value: 255 }],
  ['t.int8', { type: 'int8', value: -128 }],
  ['t.uint16', { type: 'uint16', value: 65_535 }],
  ['t.int16', { type: 'int16', value: -32_768 }],
  ['t.uint32', { type: 'uint32', value: 4_294_967_295 }],
  ['t.int32', { type: 'int32', value: -2_147_483_648 }],
  ['t.float32', { type: 'float32', value: -1.5 }],
  ['t.float64', { type: 'float64', value: 0.1 }],
  ['t.uint64', { type: 'uint64', value: 2n ** 64n - 1n }],
  ['t.int64', { type: 'int64', value: -(2n ** 63n) }],
  ['t.bool', { type: 'bool', value: true }],
  ['t.empty', { type: 'array', of: 'uint8', values: [] }],
  ['t.strings', { type: 'array', of: 'string', values: ['', 'a', '\u0000', 'ü'] }],
  ['t.flags', { type: 'array', of: 'bool', values: [true, false] }],
  ['t.long', { type: 'array', of: 'string', values: Array.from({ length: 200_000 }, (_, i) => `token ${i}`) }],
]);

describe('the GGUF writer', () => {
  it('writes metadata of every type so that it reads back the same', () => {
    writeGguf(path, METADATA, []);
    expect(readGgufMetadata(path)).toEqual(METADATA);
  });

  it('writes files that another reader understands', async () => {
    writeGguf(path, METADATA, [
      { name: 'vector', shape: [3], type: 'F32', values: () => [new Float32Array([1, 2, 3])] },
      { name: 'matrix', shape: [2, 3], type: 'F16', values: () => [new Float32Array(4), new Float32Array(2)] },
      { name: 'last', shape: [1], type: 'F32', values: () => [new Float32Array([7])] },
    ]);
    const info = await readGgufFileInfo(path, { logWarnings: false });
    expect(info.version).toBe(3);
    expect(info.metadata.general.name).toBe('Größe 量 🦙');
    expect((info.metadata as unknown as { t: { int16: number } }).t.int16).toBe(-32_768);
    expect(info.fullTensorInfo?.map(({ name, dimensions, ggmlType }) => [name, dimensions, ggmlType])).toEqual([
      ['vector', [3], 0],
      ['matrix', [2, 3], 1],
      ['last', [1], 0],
    ]);
  });

  it('lays tensors out at multiples of 32 bytes, in order', async () => {
    writeGguf(path, new Map(), [
      { name: 'a', shape: [3], type: 'F32', values: () => [new Float32Array([1, 2]), new Float32Array([3])] },
      { name: 'b', shape: [1], type: 'F16', values: () => [new Float32Array([0.5])] },
    ]);
    const info = await readGgufFileInfo(path, { logWarnings: false });
    const file = readFileSync(path);
    const offset = (index: number) => Number(info.fullTensorInfo?.[index]?.fileOffset);
    expect([offset(0) % 32, offset(1) - offset(0), file.length - offset(1)]).toEqual([0, 32, 32]);
    expect([0, 4, 8].map((at) => file.readFloatLE(offset(0) + at))).toEqual([1, 2, 3]);
    expect(file.readUInt16LE(offset(1))).toBe(0x3800);
  });

  it('refuses a tensor that yields more or fewer values than its shape says', () => {
    const tensor = { name: 'short', shape: [4], type: 'F32' as const, values: () => [new Float32Array(3)] };
    expect(() => writeGguf(path, new Map(), [tensor])).toThrow('short: 12 bytes, not 16');
  });
});

describe('conversion to half precision', () => {
  /** The value of binary16 bits, by the standard's definition. */
  const numberOf = (bits: number): number => {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return exponent === 0 ? (sign * fraction) / 2 ** 24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  };
  const half = (value: number) => toFloat16(new Float32Array([value]))[0] as number;

  it('keeps every half-precision number', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = numberOf(bits);
      if (Number.isNaN(value)) expect(numberOf(half(value))).toBeNaN();
      else expect(half(value)).toBe(bits);
    }
  });

  it('rounds halfway cases to even and everything else to the nearest', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7bfe }), fc.integer({ min: 0, max: 8 }), (bits, eighth) => {
        // Neighbours differ by a power of two, so eighths between them are exact in single precision.
        const [low, high] = [numberOf(bits), numberOf(bits + 1)];
        const nearest = eighth === 4 ? bits + (bits & 1) : eighth < 4 ? bits : bits + 1;
        const value = low + ((high - low) * eighth) / 8;
        expect(half(value)).toBe(nearest);
        expect(half(-value)).toBe(nearest | 0x8000);
      }),
    );
  });

  it('turns what is too large into infinity from 65520 on, and what is too small into zero', () => {
    expect(numberOf(half(65_519.996))).toBe(65_504);
    expect(numberOf(half(65_520))).toBe(Number.POSITIVE_INFINITY);
    expect(numberOf(half(-3e38))).toBe(Number.NEGATIVE_INFINITY);
    expect(half(2 ** -25)).toBe(0);
    expect(half(2 ** -25 * 1.0001)).toBe(1);
    expect(half(1e-40)).toBe(0);
  });
});
