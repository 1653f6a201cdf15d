import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { loadEngine } from '../../src/engine/load-engine.js';
import type { EngineConfig } from '../../src/engine/protocol.js';
import { engineConfig, engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { architecturePath } from '../support/random-architectures.js';
import { randomModelPath } from '../support/random-model.js';
import { runToEnd } from '../support/run-engine.js';

const llama = () => randomModelPath({ type: 'Q8_0' });

async function open(config: Partial<EngineConfig> & { modelPath: string }) {
  const log: string[] = [];
  const loaded = await loadEngine(engineConfig({ threads: 1, maxModelLen: 256, ...config }), {
    onProgress() {},
    onLog: (level, message) => log.push(`${level}: ${message}`),
  });
  onTestFinished(loaded.dispose);
  return { loaded, info: loaded.info, log };
}

afterEach(() => vi.unstubAllEnvs());

describe('the KV backend', () => {
  it('is pages where they can serve the model', async () => {
    const { info } = await open({ modelPath: await llama() });
    expect(info).toMatchObject({
      kvBackend: 'pages',
      kvBackendReason: 'pages can serve this model on this machine',
      batchInvariant: true,
    });
  });

  it.each(['mamba', 'lfm 2', 'deepseek 2'] as const)(
    'is cells for a model that pages cannot serve, unless pages were asked for: %s',
    async (name) => {
      const modelPath = architecturePath(name);
      const { loaded, info } = await open({ modelPath });
      expect(info).toMatchObject({
        kvBackend: 'cells',
        kvBackendReason: expect.stringMatching(/^pages cannot serve this model: ./),
      });
      const { transcripts } = runToEnd(loaded, [engineRequest('r', pseudoRandomTokens(20, 1, info.vocabSize))]);
      expect(transcripts.get('r/0')!.tokens).toHaveLength(16);
      await expect(open({ modelPath, kvBackend: 'pages' })).rejects.toMatchObject({
        name: 'UnsupportedModelError',
        hint: 'use --kv-backend cells',
      });
    },
  );

  it('is cells where there is no C compiler, said loudly, unless pages were asked for', async () => {
    vi.stubEnv('CC', '/no/such/compiler');
    const modelPath = await llama();
    const { info, log } = await open({ modelPath });
    expect(info).toMatchObject({
      kvBackend: 'cells',
      kvBackendReason: expect.stringMatching(/no working C compiler found.*Install gcc/),
    });
    expect(log).toContainEqual(expect.stringMatching(/^warn: KV cells instead of pages: .*no working C compiler/));
    await expect(open({ modelPath, kvBackend: 'pages' })).rejects.toMatchObject({ name: 'KernelBuildError' });
  });

  it('is not pages on a GPU', async () => {
    const config = { modelPath: await llama(), kvBackend: 'pages', device: 'cuda' } as const;
    await expect(open(config)).rejects.toMatchObject({
      name: 'KVBackendError',
      message: 'KV pages are kept in main memory: they cannot serve --device cuda',
      hint: 'use --kv-backend cells, or --device cpu',
    });
  });

  it('cannot be cells where the bits of answers are promised', async () => {
    const config = { modelPath: await llama(), kvBackend: 'cells', batchInvariant: 'on' } as const;
    await expect(open(config)).rejects.toMatchObject({
      name: 'KVBackendError',
      message: expect.stringContaining('--batch-invariant on cannot be kept'),
      hint: expect.stringContaining('--batch-invariant auto'),
    });
  });

  it('has fewer sequences where layers have a sliding window, and says how many', async () => {
    const config = { modelPath: architecturePath('gemma 3'), kvBackend: 'cells', maxNumSeqs: 128 } as const;
    await expect(open(config)).rejects.toMatchObject({ hint: 'use --max-num-seqs 127 or less' });
    expect((await open({ ...config, maxNumSeqs: 127 })).info.maxNumSeqs).toBe(127);
  });
});

describe('the cells backend', () => {
  it('stores keys and values in 8 bits when asked to, in about half the memory', async () => {
    const modelPath = await llama();
    const bytes = new Map<string, number>();
    for (const kvCacheDtype of ['f16', 'q8_0'] as const) {
      const { loaded, info } = await open({ modelPath, kvBackend: 'cells', kvCacheDtype });
      expect(info.kvCacheDtype).toBe(kvCacheDtype);
      bytes.set(kvCacheDtype, info.kvCacheBytes / info.numBlocks);
      const prompt = pseudoRandomTokens(40, 1, info.vocabSize);
      const requests = ['a', 'b'].map((id) => engineRequest(id, prompt, { sampling: { logprobs: 0 } }));
      const { transcripts } = runToEnd(loaded, requests);
      for (const { logprobs } of transcripts.values())
        for (const each of logprobs) expect(each!.logprob).toBeLessThan(0);
    }
    expect(bytes.get('q8_0')! / bytes.get('f16')!).toBeCloseTo(0.55, 1);
  });

  it('refuses to store what llama.cpp cannot', async () => {
    const modelPath = await llama();
    await expect(open({ modelPath, kvBackend: 'cells', kvCacheDtype: 'i16' })).rejects.toMatchObject({
      name: 'KVBackendError',
      hint: 'use --kv-cache-dtype auto, f16 or q8_0',
    });
  });

  it('keeps the prefixes of the latest requests, and forgets earlier ones', async () => {
    const { loaded, info } = await open({ modelPath: await llama(), kvBackend: 'cells', maxModelLen: 1024 });
    const prompt = (seed: number) => pseudoRandomTokens(49, seed, info.vocabSize);
    const chats = Array.from({ length: 200 }, (_, i) =>
      engineRequest(`chat${i}`, prompt(i), { sampling: { maxTokens: 1 } }),
    );
    runToEnd(loaded, chats);
    const { blocksCached } = loaded.engine.stats();
    expect(blocksCached).toBeGreaterThan(300);
    // 8,192 tokens, and those of the last batch: a step notices what ended in the one before.
    expect(blocksCached).toBeLessThanOrEqual(512 + 16 * 4);
    const { cachedTokens } = runToEnd(loaded, [engineRequest('early', prompt(0)), engineRequest('late', prompt(199))]);
    expect([cachedTokens.get('early'), cachedTokens.get('late')]).toEqual([0, 48]);
  });

  it('shares the state of a recurrent model between the choices of one request', async () => {
    const { loaded, info } = await open({ modelPath: architecturePath('mamba'), maxNumSeqs: 4 });
    const request = engineRequest('r', pseudoRandomTokens(70, 1, info.vocabSize), {
      n: 4,
      sampling: { temperature: 1, seed: 3 },
    });
    const { transcripts } = runToEnd(loaded, [request]);
    expect(loaded.engine.stats().promptTokensComputed).toBe(70);
    expect(new Set([...transcripts.values()].map(({ tokens }) => tokens.join())).size).toBeGreaterThan(1);
  });
});
