import { describe, expect, it } from 'vitest';
import {
  flagOf,
  parseServingOptions,
  ServingOptionsError,
  type ServingOptionsInput,
} from '../../src/serving/options.js';

describe('serving options', () => {
  it('have vLLM’s defaults where vLLM has them, and zero where the engine chooses', () => {
    expect(parseServingOptions({})).toEqual({
      model: expect.any(String),
      servedModelName: [],
      device: 'auto',
      threads: 0,
      maxModelLen: 0,
      maxNumSeqs: 64,
      maxQueuedRequests: 1024,
      maxQueuedTokens: 0,
      maxQueueTime: 0,
      requestTimeout: 0,
      maxNumBatchedTokens: 512,
      blockSize: 16,
      kvCacheMemory: 0,
      kvCacheDtype: 'auto',
      kvBackend: 'auto',
      loadMode: 'auto',
      targetItl: 'auto',
      policy: 'continuous',
      batchWindow: 100,
      enablePrefixCaching: true,
      keepKvCache: true,
      batchInvariant: 'auto',
      requantize: 'auto',
      engineTimeout: 300,
      checkEveryStep: false,
    });
  });

  it('take numbers as a command line gives them', () => {
    const options = parseServingOptions({ threads: '4', blockSize: '32', targetItl: '50' });
    expect(options).toMatchObject({ threads: 4, blockSize: 32, targetItl: 50 });
  });

  it.each<[number | string, number]>([
    [0, 0],
    [1048576, 1048576],
    ['1048576', 1048576],
    ['2GiB', 2 ** 31],
    ['1.5 GiB', 1.5 * 2 ** 30],
    ['512MiB', 2 ** 29],
    ['512mib', 2 ** 29],
    ['2GB', 2e9],
    ['64K', 64_000],
    ['100B', 100],
  ])('read %o as a size in memory', (kvCacheMemory, bytes) => {
    expect(parseServingOptions({ kvCacheMemory }).kvCacheMemory).toBe(bytes);
  });

  it.each<[ServingOptionsInput, string]>([
    [{ threads: -1 }, '--threads must be a whole number from 0 to 1024, not -1.'],
    [{ threads: 'many' }, '--threads must be a whole number from 0 to 1024, not "many".'],
    [{ threads: '' }, '--threads must be a whole number from 0 to 1024, not "".'],
    [{ maxNumSeqs: 256 }, '--max-num-seqs must be a whole number from 1 to 255, not 256.'],
    [{ maxNumSeqs: 1.5 }, '--max-num-seqs must be a whole number from 1 to 255, not 1.5.'],
    [{ blockSize: 17 }, '--block-size must be one of 16, 32, 64, not 17.'],
    [
      { kvCacheMemory: 'lots' },
      '--kv-cache-memory must be a number of bytes, or a size such as 512MiB or 2GiB, not "lots".',
    ],
    [{ kvCacheMemory: -5 }, '--kv-cache-memory must be a number of bytes, or a size such as 512MiB or 2GiB, not -5.'],
    [{ device: 'tpu' as 'cpu' }, '--device must be one of auto, cpu, cuda, vulkan, metal, not "tpu".'],
    [{ policy: 'greedy' as 'static' }, '--policy must be one of continuous, dynamic, static, not "greedy".'],
    [{ targetItl: 'soon' as 'auto' }, '--target-itl must be auto, or a whole number from 0 to 60000, not "soon".'],
    [{ targetItl: -1 }, '--target-itl must be auto, or a whole number from 0 to 60000, not -1.'],
    [{ requantize: '../x' }, '--requantize must be auto, off, or a weight type such as Q8_0, not "../x".'],
    [{ servedModelName: [''] }, '--served-model-name must be a list of names, not [""].'],
    [{ maxSeqs: 3 } as ServingOptionsInput, 'Unknown option: --max-seqs.'],
  ])('%o are refused by name, with what is allowed', (input, message) => {
    expect(() => parseServingOptions(input)).toThrow(new ServingOptionsError(message));
  });

  it('refuse a step that cannot hold one token of every sequence', () => {
    expect(() => parseServingOptions({ maxNumSeqs: 64, maxNumBatchedTokens: 63 })).toThrow(
      '--max-num-batched-tokens must be at least --max-num-seqs',
    );
  });

  it('name every bad one, a line each', () => {
    const run = () => parseServingOptions({ threads: -1, maxNumSeqs: 0 });
    expect(run).toThrow(/--threads .*\n--max-num-seqs /);
  });
});

it('a flag is the option in kebab-case', () => {
  expect(flagOf('maxNumBatchedTokens')).toBe('--max-num-batched-tokens');
});
