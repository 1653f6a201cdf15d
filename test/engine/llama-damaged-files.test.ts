import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Llama, LlamaError, loadLlama } from '../../src/llama/index.js';
import type { MetadataValue } from '../support/gguf-format.js';
import { byteLevelTokenizer, randomModelPath, writeRandomModel } from '../support/random-model.js';

// A crash of the library ends the process that runs this file, which fails the file.

let llama: Llama;
let directory: string;
let whole: Buffer;

beforeAll(async () => {
  llama = loadLlama({ device: 'cpu' });
  directory = mkdtempSync(join(tmpdir(), 'quire-damaged-'));
  whole = readFileSync(await randomModelPath({ headSize: 16, heads: 2, kvHeads: 1 }));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

function errorOf(action: () => void): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

/** What loading these bytes throws, if anything, whole and for the vocabulary alone. */
function load(bytes: Uint8Array | string): unknown[] {
  const path = join(directory, 'damaged.gguf');
  writeFileSync(path, bytes);
  return [false, true].map((vocabOnly) => errorOf(() => llama.loadModel(path, { vocabOnly }).dispose()));
}

function expectRefused(bytes: Uint8Array | string, reason?: RegExp): void {
  for (const error of load(bytes)) {
    expect(error).toBeInstanceOf(LlamaError);
    expect((error as LlamaError).hint).toBeTruthy();
    if (reason !== undefined) expect((error as LlamaError).message).toMatch(reason);
  }
}

describe('loadModel', () => {
  it('refuses what is not there or not a file', () => {
    expect(errorOf(() => llama.loadModel(join(directory, 'none.gguf')))).toMatchObject({
      name: 'LlamaError',
      message: expect.stringContaining('none.gguf'),
    });
    expect(() => llama.loadModel(directory)).toThrow('not a file');
    expect(() => llama.loadModel(`${directory}/a\u0000b`)).toThrow(LlamaError);
  });

  it('refuses files that are not GGUF', () => {
    expectRefused('', /failed to read magic/);
    expectRefused('GGUF', /failed to read header/);
    expectRefused('<!doctype html>\n'.repeat(1000), /invalid magic/);
    expectRefused(new Uint8Array(100_000), /invalid magic/);
  });

  it('refuses a file cut short anywhere', () => {
    // Squares: many cuts in the header, some in each tensor.
    for (let i = 0; i < 60; i++) expectRefused(whole.subarray(0, Math.floor((i / 60) ** 2 * whole.length)));
    expectRefused(whole.subarray(0, whole.length - 32), /not within the file bounds/);
  });

  it('refuses every version and every count in the header that is not the file’s own', () => {
    for (let offset = 4; offset < 24; offset++) {
      for (const value of [0x7f, 0xff]) {
        const bytes = Buffer.from(whole);
        bytes[offset] = value;
        expectRefused(bytes);
      }
    }
  });

  it('loads or refuses, and does not crash, when lengths and types in the header are overwritten', () => {
    const header = whole.indexOf('output_norm.weight');
    const errors: unknown[] = [];
    for (let offset = 24; offset < header; offset += 7) {
      // Texts are left alone: two tokens of the same text abort llama.cpp.
      if ((whole[offset] as number) >= 0x20) continue;
      const bytes = Buffer.from(whole);
      bytes[offset] = 0xff;
      errors.push(...load(bytes));
    }
    const refused = errors.filter((error) => error !== undefined);
    expect(refused.every((error) => error instanceof LlamaError)).toBe(true);
    expect(refused.length).toBeGreaterThan(100);
  });

  it.each<[string, MetadataValue, RegExp]>([
    ['general.architecture', { type: 'string', value: 'nonsense' }, /unknown model architecture: 'nonsense'/],
    ['llama.attention.head_count', { type: 'uint32', value: 3 }, /invalid n_rot/],
    ['llama.embedding_length', { type: 'uint32', value: 64 }, /expected/],
    ['llama.feed_forward_length', { type: 'uint32', value: 0 }, /wrong shape/],
    ['llama.block_count', { type: 'uint32', value: 3 }, /tensor 'blk.2.attn_norm.weight' not found/],
    ['llama.context_length', { type: 'string', value: 'long' }, /llama.context_length/],
    ['split.count', { type: 'uint16', value: 3 }, /split/],
    ['tokenizer.ggml.model', { type: 'string', value: 'nonsense' }, /unknown tokenizer/],
    ['tokenizer.ggml.pre', { type: 'string', value: 'nonsense' }, /unknown pre-tokenizer/],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', values: [1] }, /out of array bounds/],
  ])('says what is wrong with %s', (key, value, reason) => {
    const path = join(directory, 'inconsistent.gguf');
    writeRandomModel(path, {
      headSize: 16,
      heads: 2,
      kvHeads: 1,
      tokenizer: new Map([...byteLevelTokenizer(), [key, value]]),
    });
    const error = errorOf(() => llama.loadModel(path).dispose());
    expect(error).toBeInstanceOf(LlamaError);
    expect((error as LlamaError).message).toMatch(reason);
  });

  it('works after all that', () => {
    expect(load(whole)).toEqual([undefined, undefined]);
  });
});
