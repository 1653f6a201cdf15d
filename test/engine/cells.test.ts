import { describe, expect, it, onTestFinished } from 'vitest';
import type { LoadedEngine } from '../../src/engine/load-engine.js';
import type { EngineConfig, EngineRequest } from '../../src/engine/protocol.js';
import { engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { architecturePath } from '../support/random-architectures.js';
import { randomModelPath } from '../support/random-model.js';
import { openEngine, runToEnd, type Transcript } from '../support/run-engine.js';

const MAX_TOKENS = 20;

interface Family {
  name: string;
  modelPath(): Promise<string> | string;
  sharesPrefixes: boolean;
}

const families: Family[] = [
  { name: 'llama', modelPath: () => randomModelPath({ type: 'Q8_0' }), sharesPrefixes: true },
  { name: 'gemma 3, with sliding windows', modelPath: () => architecturePath('gemma 3'), sharesPrefixes: true },
  { name: 'gpt-oss, with sinks and windows', modelPath: () => architecturePath('gpt-oss'), sharesPrefixes: true },
  { name: 'deepseek 2, with latent attention', modelPath: () => architecturePath('deepseek 2'), sharesPrefixes: true },
  { name: 'mamba, recurrent', modelPath: () => architecturePath('mamba'), sharesPrefixes: false },
  { name: 'lfm 2, hybrid', modelPath: () => architecturePath('lfm 2'), sharesPrefixes: false },
];

async function openCells(config: Partial<EngineConfig> & { modelPath: string }): Promise<LoadedEngine> {
  const loaded = await openEngine({ kvBackend: 'cells', threads: 1, maxModelLen: 512, ...config });
  onTestFinished(loaded.dispose);
  return loaded;
}

/** Requests of mixed lengths; two of three share one of two prefixes, some have several choices. */
function crowd(vocabSize: number): EngineRequest[] {
  return Array.from({ length: 16 }, (_, i) => {
    const own = pseudoRandomTokens(5 + ((i * 37) % 60), i + 10, vocabSize);
    const shared = i % 3 === 2 ? [] : pseudoRandomTokens(101, i % 3, vocabSize);
    return engineRequest(`r${i}`, Int32Array.from([...shared, ...own]), {
      n: i % 5 === 3 ? 3 : 1,
      priority: i % 7 === 4 ? -1 : 0,
      sampling: { logprobs: 20, maxTokens: MAX_TOKENS - (i % 4) },
    });
  });
}

async function alone(config: Partial<EngineConfig> & { modelPath: string }): Promise<Map<string, Transcript>> {
  const loaded = await openCells({ ...config, enablePrefixCaching: false });
  const requests = crowd(loaded.info.vocabSize);
  return new Map(requests.flatMap((request) => [...runToEnd(loaded, [request]).transcripts]));
}

/**
 * The largest difference of log-probabilities, over all tokens before and at the first at which two answers part: there,
 * what the one chose instead must have been about as likely for the other.
 */
function difference(a: Transcript, b: Transcript): number {
  let largest = 0;
  for (let i = 0; i < Math.min(a.tokens.length, b.tokens.length); i++) {
    const chosen = a.tokens[i];
    const { topTokens, topLogprobs } = b.logprobs[i]!;
    const rank = topTokens.indexOf(chosen);
    largest = Math.max(largest, rank < 0 ? Infinity : Math.abs(topLogprobs[rank] - a.logprobs[i]!.logprob));
    if (chosen !== b.tokens[i]) break;
  }
  return largest;
}

describe.each(families)('the cells backend with $name', ({ modelPath: path, sharesPrefixes }) => {
  it('answers a crowd as it answers each alone, up to llama.cpp’s own noise', async () => {
    const modelPath = await path();
    const expected = await alone({ modelPath });
    // The same requests alone, their prompts cut otherwise: what llama.cpp's attention rounds differently by itself.
    const recut = await alone({ modelPath, maxNumBatchedTokens: 23 });
    const noise = Math.max(...[...expected].map(([key, transcript]) => difference(recut.get(key)!, transcript)));
    const tolerance = Math.max(0.05, 4 * noise);
    expect(tolerance).toBeLessThan(1.5);

    // Room for few of them at once, which also cuts prompts; a second round finds what the first one left.
    const { info } = await openCells({ modelPath });
    const tinyPool = Math.ceil((info.kvCacheBytes / info.numBlocks) * 30);
    for (const config of [
      { maxNumBatchedTokens: 96 },
      { maxNumBatchedTokens: 64, kvCacheBytes: tinyPool, maxModelLen: 0 },
    ]) {
      const loaded = await openCells({ modelPath, ...config });
      const requests = crowd(loaded.info.vocabSize);
      for (const round of ['first', 'second']) {
        const { transcripts } = runToEnd(loaded, requests.slice(0, 8), (step) => {
          for (const request of requests.slice(8 + 3 * step, 11 + 3 * step)) loaded.engine.add(request);
          if (step === 9) loaded.engine.abort('r6');
        });
        expect(transcripts.size).toBe(expected.size);
        for (const [key, transcript] of transcripts) {
          expect(difference(transcript, expected.get(key)!), `${round} ${key}`).toBeLessThanOrEqual(tolerance);
          if (transcript.reason !== 'abort') expect(transcript.tokens.length).toBe(expected.get(key)!.tokens.length);
        }
      }
      const stats = loaded.engine.stats();
      expect(stats).toMatchObject({ blocksUsed: 0, runningSequences: 0, waitingRequests: 0 });
      expect(stats.prefixHitTokens > 0).toBe(sharesPrefixes);
      if (config.kvCacheBytes !== undefined && sharesPrefixes) expect(stats.preemptions).toBeGreaterThan(0);
    }
  });
});
