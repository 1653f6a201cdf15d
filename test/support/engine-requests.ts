import type { EmbedRequest, EngineConfig, EngineRequest, SamplingParams } from '../../src/engine/protocol.js';
import { defaultSampling } from '../../src/serving/sampling-defaults.js';

/** Greedy, 16 tokens whatever they are, and otherwise the defaults. */
export function samplingParams(overrides: Partial<SamplingParams> = {}): SamplingParams {
  return { ...defaultSampling, temperature: 0, seed: 1, maxTokens: 16, ignoreEos: true, ...overrides };
}

export function engineRequest(
  id: string,
  promptTokenIds: Int32Array,
  { sampling, ...rest }: Partial<Omit<EngineRequest, 'sampling'>> & { sampling?: Partial<SamplingParams> } = {},
): EngineRequest {
  return {
    id,
    promptTokenIds,
    n: 1,
    priority: 0,
    tenant: '',
    cacheSalt: '',
    promptLogprobs: null,
    grammar: null,
    resume: null,
    ...rest,
    sampling: samplingParams(sampling),
  };
}

export function embedRequest(
  id: string,
  promptTokenIds: Int32Array,
  overrides: Partial<EmbedRequest> = {},
): EmbedRequest {
  return { id, promptTokenIds, pooling: 'last', priority: 0, tenant: '', cacheSalt: '', ...overrides };
}

export function engineConfig(overrides: Partial<EngineConfig> = {}): EngineConfig {
  return {
    modelPath: '',
    device: 'cpu',
    threads: 0,
    maxModelLen: 0,
    maxNumSeqs: 16,
    maxNumBatchedTokens: 512,
    blockSize: 16,
    kvCacheBytes: 0,
    kvBackend: 'auto',
    loadMode: 'auto',
    kvCacheDtype: 'auto',
    targetItlMs: 0,
    policy: 'continuous',
    batchWindowMs: 0,
    enablePrefixCaching: true,
    batchInvariant: 'auto',
    checkEveryStep: true,
    ...overrides,
  };
}

/** Token ids that look random and are the same every time. */
export function pseudoRandomTokens(count: number, seed: number, vocabSize: number): Int32Array {
  let state = (seed * 7919 + 1) >>> 0;
  return Int32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * vocabSize);
  });
}
