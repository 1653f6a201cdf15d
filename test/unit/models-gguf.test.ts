import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GgufError, type GgufInfo, inspectGguf } from '../../src/serving/models/index.js';
import type { Metadata, MetadataValue } from '../support/gguf-format.js';
import { type GgufTensor, writeGguf } from '../support/gguf-writer.js';

let folder: string;
let whole: Buffer;

const METADATA: Metadata = new Map<string, MetadataValue>([
  ['general.architecture', { type: 'string', value: 'llama' }],
  ['general.name', { type: 'string', value: 'Größe' }],
  ['llama.context_length', { type: 'uint32', value: 4096 }],
  ['llama.rope.freq_base', { type: 'float32', value: 10_000 }],
  ['test.small', { type: 'int64', value: -3n }],
  ['test.large', { type: 'uint64', value: 2n ** 63n }],
  ['test.yes', { type: 'bool', value: true }],
  ['tokenizer.ggml.tokens', { type: 'array', of: 'string', values: ['a', 'b', '', ''] }],
  ['tokenizer.ggml.scores', { type: 'array', of: 'float32', values: [0, 1, 2, 3] }],
]);

const tensor = (name: string, shape: number[], type: 'F32' | 'F16' = 'F32'): GgufTensor => ({
  name,
  shape,
  type,
  values: () => [new Float32Array(shape.reduce((product, n) => product * n, 1))],
});

const TENSORS = [tensor('token_embd.weight', [32, 4], 'F16'), tensor('output_norm.weight', [5])];

function pathOf(bytes: Uint8Array | string): string {
  const path = join(folder, 'file.gguf');
  writeFileSync(path, bytes);
  return path;
}

const inspect = async (bytes: Uint8Array | string): Promise<GgufInfo> => await inspectGguf(pathOf(bytes));

/** The file with some of its bytes replaced. */
function patched(at: number, bytes: readonly number[]): Buffer {
  const copy = Buffer.from(whole);
  copy.set(bytes, at);
  return copy;
}

const endOf = (text: string) => whole.indexOf(text) + text.length;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'quire-gguf-'));
  const path = join(folder, 'whole.gguf');
  writeGguf(path, METADATA, TENSORS);
  whole = readFileSync(path);
});

afterAll(() => rmSync(folder, { recursive: true }));

describe('inspectGguf', () => {
  it('reads metadata and describes arrays by their length', async () => {
    const info = await inspect(whole);
    expect(info).toMatchObject({ version: 3, architecture: 'llama', split: { index: 0, count: 1 } });
    expect(Object.fromEntries(info.metadata)).toEqual({
      'general.architecture': 'llama',
      'general.name': 'Größe',
      'llama.context_length': 4096,
      'llama.rope.freq_base': 10_000,
      'test.small': -3,
      'test.large': 2n ** 63n,
      'test.yes': true,
      'tokenizer.ggml.tokens': { arrayOf: 'string', length: 4 },
      'tokenizer.ggml.scores': { arrayOf: 'float32', length: 4 },
    });
  });

  it('says where the tensors lie and what types they have', async () => {
    const { tensors, weightTypes, fileBytes } = await inspect(whole);
    expect(tensors.map(({ name, type, shape, bytes }) => ({ name, type, shape, bytes }))).toEqual([
      { name: 'token_embd.weight', type: 'F16', shape: [32, 4], bytes: 256 },
      { name: 'output_norm.weight', type: 'F32', shape: [5], bytes: 20 },
    ]);
    expect(tensors[1]!.offset - tensors[0]!.offset).toBe(256);
    expect(tensors[1]!.offset % 32).toBe(0);
    expect(fileBytes).toBe(whole.length);
    expect(weightTypes).toEqual([
      { type: 'F16', tensors: 1, bytes: 256 },
      { type: 'F32', tensors: 1, bytes: 20 },
    ]);
  });

  it('reads strings that are longer than its buffer, and what follows them', async () => {
    const path = join(folder, 'long.gguf');
    const long = 'x'.repeat(3 << 20);
    const metadata = new Map([...METADATA, ['long', { type: 'string' as const, value: long }], ...METADATA_TAIL]);
    writeGguf(path, metadata, TENSORS);
    const info = await inspectGguf(path);
    expect(info.metadata.get('long')).toBe(long);
    expect(info.metadata.get('tail')).toBe('end');
    expect(info.tensors).toHaveLength(2);
  });

  it('says what a file is that is not GGUF', async () => {
    await expect(inspect('')).rejects.toThrow(new GgufError('the file is empty'));
    await expect(inspect('GG')).rejects.toThrow(new GgufError('not a GGUF file'));
    await expect(inspect('PK\x03\x04 a zip archive')).rejects.toThrow(new GgufError('not a GGUF file'));
    await expect(inspect('<!doctype html>')).rejects.toThrow('a web page');
    await expect(inspect('version https://git-lfs.github.com/spec/v1')).rejects.toThrow('Git LFS');
  });

  it('refuses versions it does not know, and files of the other byte order', async () => {
    await expect(inspect(patched(4, [1]))).rejects.toThrow('version 1');
    await expect(inspect(patched(4, [4]))).rejects.toThrow('version 4');
    await expect(inspect(patched(4, [0, 0, 0, 3]))).rejects.toThrow('big-endian');
  });

  it('refuses a file that is cut off anywhere, and says how long it should be', async () => {
    const { tensors } = await inspect(whole);
    const end = tensors[1]!.offset + 20;
    for (let length = 5; length < end; length++) {
      await expect(inspect(whole.subarray(0, length)), `${length} bytes`).rejects.toThrow(/^truncated: .*\d+ bytes/);
    }
    await expect(inspect(whole.subarray(0, end - 1))).rejects.toThrow(`need ${end} bytes, the file has ${end - 1}`);
    await expect(inspect(whole.subarray(0, end))).resolves.toMatchObject({ architecture: 'llama' });
  });

  it('refuses counts and lengths that no file of this size can have, without allocating them', async () => {
    const huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    await expect(inspect(patched(8, huge))).rejects.toThrow('tensors');
    await expect(inspect(patched(16, huge))).rejects.toThrow('metadata keys');
    await expect(inspect(patched(24, huge))).rejects.toThrow('metadata key 0');
    await expect(inspect(patched(endOf('general.name') + 4, huge))).rejects.toThrow('general.name');
    await expect(inspect(patched(endOf('tokenizer.ggml.tokens') + 8, huge))).rejects.toThrow('tokens');
    await expect(inspect(patched(endOf('tokenizer.ggml.scores') + 8, huge))).rejects.toThrow('scores');
    await expect(inspect(patched(8, Array(8).fill(0xff)))).rejects.toThrow(GgufError);
  });

  it('refuses what would make llama.cpp refuse or abort', async () => {
    const second = endOf('tokenizer.ggml.tokens') + 16 + 9;
    await expect(inspect(patched(second + 8, [...Buffer.from('a')]))).rejects.toThrow('there twice');
    await expect(inspect(patched(whole.indexOf('test.small'), [...Buffer.from('test.large')]))).rejects.toThrow(
      'twice',
    );
    await expect(inspect(patched(endOf('test.yes'), [99]))).rejects.toThrow('unknown value type 99');
    await expect(inspect(patched(endOf('output_norm.weight'), [5]))).rejects.toThrow('5 dimensions');
    const shape = endOf('output_norm.weight') + 4;
    await expect(inspect(patched(shape + 8, [4]))).rejects.toThrow('type 4');
    await expect(inspect(patched(shape + 8, [2]))).rejects.toThrow('do not divide into blocks of Q4_0');
    await expect(inspect(patched(shape + 12, [1]))).rejects.toThrow('offset');
    await expect(inspect(patched(shape + 6, [0xff]))).rejects.toThrow('shape');
  });

  it('answers any damage to the header with a GgufError or with what is there', async () => {
    const headerBytes = (await inspect(whole)).tensors[0]!.offset;
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(headerBytes - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        async (changes) => {
          const bytes = Buffer.from(whole);
          for (const [at, value] of changes) bytes[at] = value;
          const outcome = await inspect(bytes).catch((error: unknown) => error);
          if (outcome instanceof Error) expect(outcome).toBeInstanceOf(GgufError);
        },
      ),
      { numRuns: 500 },
    );
  });
});

const METADATA_TAIL: [string, MetadataValue][] = [['tail', { type: 'string', value: 'end' }]];
