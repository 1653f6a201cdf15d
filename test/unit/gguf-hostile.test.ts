import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkModel } from '../../src/serving/models/check-model.js';
import { inspectGguf, ModelResolveError } from '../../src/serving/models/index.js';
import type { MetadataValue } from '../support/gguf-format.js';
import { headerFields, hostileNumbers, type Mutation, randomBytes } from '../support/gguf-mutations.js';
import { byteLevelTokenizer, writeRandomModel } from '../support/random-model.js';
import { writeTinyGguf } from '../support/tiny-gguf.js';

const SEED = Number(process.env.QUIRE_SEED ?? 1);
const RANDOM_CHANGES = Number(process.env.QUIRE_GGUF_CHANGES ?? 2_000);
/** It takes less than a hundredth where nothing else runs. */
const MOST_MS_EACH = 1_000;

let folder: string;
let path: string;
let whole: Buffer;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'quire-hostile-'));
  path = join(folder, 'hostile.gguf');
  writeRandomModel(path, { layers: 1, headSize: 8, heads: 2, kvHeads: 1 });
  whole = readFileSync(path);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const uint32 = (value: number): MetadataValue => ({ type: 'uint32', value });
const NETWORK: Record<string, MetadataValue> = {
  'llama.block_count': uint32(2),
  'llama.embedding_length': uint32(64),
  'llama.attention.head_count': uint32(4),
};

/** What Quire says of the file with these changes; the file is as before afterwards. */
async function outcomeOf(changes: readonly Mutation[]): Promise<'accepted' | 'refused'> {
  const file = openSync(path, 'r+');
  try {
    for (const { at, bytes } of changes) writeSync(file, bytes, 0, bytes.length, at);
    return await outcome(changes.map(({ name }) => name).join(', '));
  } finally {
    for (const { at, bytes } of changes) writeSync(file, whole, at, bytes.length, at);
    closeSync(file);
  }
}

async function outcome(name: string): Promise<'accepted' | 'refused'> {
  const began = performance.now();
  try {
    await checkModel([path]);
    return 'accepted';
  } catch (error) {
    expect(error, `${name}: ${(error as Error).stack}`).toBeInstanceOf(ModelResolveError);
    expect((error as ModelResolveError).message).toContain(path);
    return 'refused';
  } finally {
    expect(performance.now() - began, name).toBeLessThan(MOST_MS_EACH);
  }
}

describe('a hostile GGUF file', () => {
  it('is refused, or has a header that is right, whatever number in its header is changed', async () => {
    const { fields, headerBytes } = headerFields(whole);
    expect(headerBytes).toBeGreaterThan(10_000);
    const counts = { accepted: 0, refused: 0 };
    for (const mutation of hostileNumbers(whole, fields)) counts[await outcomeOf([mutation])]++;
    expect(counts.refused).toBeGreaterThan(2_000);
    // Numbers such as the value of rope.freq_base may be others.
    expect(counts.accepted).toBeGreaterThan(0);
    expect(await outcomeOf([])).toBe('accepted');
  });

  it(`is refused, or has a header that is right, with any bytes of it changed (QUIRE_SEED=${SEED})`, async () => {
    const { headerBytes } = headerFields(whole);
    for (const changes of randomBytes(headerBytes, RANDOM_CHANGES, SEED)) await outcomeOf(changes);
    expect(await outcomeOf([])).toBe('accepted');
  });

  it('is refused when it is cut off anywhere', async () => {
    const file = openSync(path, 'r+');
    try {
      for (let length = whole.length - 1; length >= 0; length -= length > 30_000 ? 997 : 29) {
        ftruncateSync(file, length);
        expect(await outcome(`${length} bytes`), `${length} bytes`).toBe('refused');
      }
    } finally {
      closeSync(file);
      writeFileSync(path, whole);
    }
  });

  it.each<[string, MetadataValue, RegExp]>([
    ['llama.block_count', uint32(0), /block_count is 0, .*from 1 to 512 \(at byte \d+\)/],
    ['llama.block_count', uint32(513), /block_count is 513/],
    ['llama.context_length', uint32(2 ** 32 - 1), /context_length/],
    ['llama.embedding_length', uint32(0), /embedding_length is 0/],
    ['llama.attention.head_count', uint32(1000), /more than the network is wide/],
    ['llama.attention.head_count_kv', uint32(3), /by which the 4 heads do not divide/],
    ['llama.attention.head_count', { type: 'array', of: 'uint32', values: Array(600).fill(4) }, /for 600 layers/],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'float32', value: Number.NaN }, /rms_epsilon is NaN/],
    ['llama.attention.layer_norm_rms_epsilon', { type: 'float32', value: -1 }, /rms_epsilon is -1/],
    ['llama.expert_count', uint32(2000), /expert_count is 2000/],
    ['llama.expert_used_count', uint32(2), /but there are 0 experts/],
    ['llama.expert_group_count', uint32(2), /but there are 0 experts/],
    ['llama.nextn_predict_layers', uint32(9), /but there are 2 layers/],
    ['llama.rope.scaling.type', { type: 'string', value: 'nonsense' }, /one of: none, linear/],
    ['general.alignment', uint32(0), /no power of two/],
    ['general.alignment', uint32(2 ** 31), /at most 65536/],
    ['general.alignment', { type: 'uint64', value: 32n }, /uint64.*uint32/],
    ['tokenizer.ggml.tokens', { type: 'string', value: 'abc' }, /should be an array of string/],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', values: [] }, /no tokens/],
    ['tokenizer.ggml.tokens', { type: 'array', of: 'string', values: ['[EMPTY_1]', ''] }, /token 1 .* twice/],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'int32', values: [1] }, /1 elements for 512 tokens/],
    ['tokenizer.ggml.token_type', { type: 'array', of: 'uint32', values: Array(512).fill(1) }, /array of int32/],
    ['tokenizer.ggml.scores', { type: 'array', of: 'float32', values: [0] }, /1 elements for 512 tokens/],
    ['tokenizer.ggml.merges', uint32(1), /array of string/],
    ['tokenizer.ggml.bos_token_id', uint32(512), /bos_token_id is 512, but the vocabulary has 512 tokens/],
    ['tokenizer.ggml.eos_token_id', { type: 'int32', value: -2 }, /eos_token_id is -2/],
    ['tokenizer.chat_template', uint32(1), /no text but of type uint32/],
    ['tokenizer.chat_template', { type: 'string', value: 'x'.repeat(2 ** 20 + 1) }, /at most 1048576 are allowed/],
    ['key of 65,536 bytes', uint32(1), /at most 65535 are allowed/],
  ])('is refused for a wrong %s', async (key, value, reason) => {
    const damaged = join(folder, 'field.gguf');
    writeTinyGguf(damaged, {
      ...NETWORK,
      ...Object.fromEntries(byteLevelTokenizer()),
      [key.startsWith('key of') ? 'k'.repeat(65_536) : key]: value,
    });
    await expect(checkModel([damaged])).rejects.toThrow(reason);
    await expect(checkModel([damaged])).rejects.toMatchObject({ name: 'ModelResolveError', hint: expect.any(String) });
  });

  it('may say that it has no such token', async () => {
    const file = join(folder, 'none.gguf');
    writeTinyGguf(file, {
      ...Object.fromEntries(byteLevelTokenizer()),
      'tokenizer.ggml.padding_token_id': uint32(2 ** 32 - 1),
    });
    expect((await inspectGguf(file)).architecture).toBe('llama');
  });
});
