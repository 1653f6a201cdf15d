import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoadedEngine } from '../../src/engine/load-engine.js';
import type { EmbedRequest, EngineConfig } from '../../src/engine/protocol.js';
import { LlamaBatch, loadLlama } from '../../src/llama/index.js';
import { defaultModelPath } from '../support/default-model.js';
import { embedRequest, engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';
import { openEngine, runToEnd } from '../support/run-engine.js';

interface Setting {
  name: string;
  modelPath(): Promise<string>;
  batchInvariant: EngineConfig['batchInvariant'];
}

const settings: Setting[] = [
  {
    name: 'Q8_0 weights',
    modelPath: () => randomModelPath({ type: 'Q8_0', heads: 4, kvHeads: 2 }),
    batchInvariant: 'auto',
  },
  {
    name: 'F16 weights, rows padded',
    modelPath: () => randomModelPath({ type: 'F16', heads: 4, kvHeads: 2 }),
    batchInvariant: 'on',
  },
  { name: 'SmolLM2', modelPath: defaultModelPath, batchInvariant: 'auto' },
];

/** Prompts of 1 to 330 tokens: more than are embedded in one decode. Pairs begin alike. */
function prompts(vocabSize: number): EmbedRequest[] {
  return [1, 2, 7, 16, 33, 64, 100, 150, 255, 330].map((length, i) => {
    const tokens = pseudoRandomTokens(length, i >> 1, vocabSize);
    return embedRequest(`e${i}`, tokens, { pooling: i % 3 === 0 ? 'last' : 'mean', priority: (i % 3) - 1 });
  });
}

function embedAll(loaded: LoadedEngine, requests: readonly EmbedRequest[]): Map<string, Float32Array> {
  for (const request of requests) loaded.engine.embed(request);
  return runToEnd(loaded, []).vectors;
}

describe.each(settings)('embeddings: $name', ({ modelPath: path, batchInvariant }) => {
  let modelPath: string;
  let alone: Map<string, Float32Array>;
  let requests: EmbedRequest[];
  let size: number;

  beforeAll(async () => {
    modelPath = await path();
    const engine = await openEngine({ modelPath, batchInvariant, maxModelLen: 512, enablePrefixCaching: false });
    expect(engine.info.kvBackend).toBe('pages');
    expect(engine.info.batchInvariant, engine.info.batchInvariantReason).toBe(true);
    size = engine.info.embeddingSize;
    requests = prompts(engine.info.vocabSize);
    alone = new Map(requests.flatMap((request) => [...embedAll(engine, [request])]));
    engine.dispose();
  });

  it("are what llama.cpp's own attention gives, up to rounding", () => {
    const llama = loadLlama({ device: 'cpu' });
    const model = llama.loadModel(modelPath);
    const context = model.createContext({ batchSize: 512, maxSequences: 1, maxOutputs: 512, threads: 2 });
    const batch = new LlamaBatch(512);
    const stock = requests.map(({ promptTokenIds, pooling }) => {
      batch.length = promptTokenIds.length;
      batch.tokens.set(promptTokenIds);
      batch.sequenceIds.fill(0);
      for (let i = 0; i < batch.length; i++) batch.positions[i] = i;
      context.clearMemory();
      context.embed(batch);
      const rows = Array.from(promptTokenIds, (_, row) => context.embedding(row));
      return pooling === 'last' ? rows.at(-1)!.slice() : meanOf(rows);
    });
    for (const [i, { id }] of requests.entries()) {
      const likeness = stock.map((vector) => cosine(alone.get(id)!, vector));
      expect(likeness[i], id).toBeGreaterThan(0.999);
      expect(likeness.indexOf(Math.max(...likeness)), id).toBe(i);
      expect(alone.get(id)).toHaveLength(size);
    }
    model.dispose();
  });

  it.each<[string, Partial<EngineConfig>]>([
    ['in one large step', {}],
    ['in many small steps', { maxNumBatchedTokens: 48 }],
    ['on one thread, without a prefix cache', { maxNumBatchedTokens: 96, threads: 1, enablePrefixCaching: false }],
  ])('have the same bits in a crowd: %s', async (_, config) => {
    const loaded = await openEngine({ modelPath, batchInvariant, maxModelLen: 512, ...config });
    const { engine, info } = loaded;
    const answers = Array.from({ length: 8 }, (_, i) =>
      engineRequest(`r${i}`, requests[(i * 3) % requests.length]!.promptTokenIds, { sampling: { maxTokens: 20 + i } }),
    );
    for (const request of answers) engine.add(request);
    const { vectors, transcripts } = runToEnd(loaded, [], (step) => {
      for (const request of requests.slice(2 * step, 2 * step + 2)) engine.embed(request);
    });
    expect(vectors.size).toBe(requests.length);
    for (const [id, vector] of vectors) expect(vector, id).toEqual(alone.get(id));
    for (const { reason } of transcripts.values()) expect(['length', 'stop']).toContain(reason);
    expect(engine.stats()).toMatchObject({ blocksUsed: 0, runningSequences: 0, waitingRequests: 0 });
    expect(info.maxModelLen).toBe(512);
    loaded.dispose();
  });

  it('have the same bits when a tiny pool forces preemption, and answers have them beside embeddings', async () => {
    const probe = await openEngine({ modelPath, maxModelLen: 64, maxNumSeqs: 1 });
    const blockBytes = probe.info.kvCacheBytes / probe.info.numBlocks;
    probe.dispose();
    const config = { modelPath, batchInvariant, kvCacheBytes: 40 * blockBytes, maxNumBatchedTokens: 64 };
    const loaded = await openEngine(config);
    const answers = requests
      .slice(4, 9)
      .map(({ promptTokenIds }, i) =>
        engineRequest(`r${i}`, promptTokenIds, { priority: -2, sampling: { maxTokens: 60, logprobs: 2 } }),
      );
    const expected = runToEnd(loaded, answers).transcripts;
    for (const request of requests) loaded.engine.embed(request);
    const { vectors, transcripts } = runToEnd(loaded, [], (step) => {
      if (step % 4 === 2 && answers[(step - 2) / 4]) loaded.engine.add(answers[(step - 2) / 4]!);
    });
    expect(loaded.engine.stats().preemptions).toBeGreaterThan(0);
    for (const [id, vector] of alone) expect(vectors.get(id), id).toEqual(vector);
    for (const [key, transcript] of expected) expect(transcripts.get(key), key).toEqual(transcript);
    loaded.dispose();
  });
});

describe('embeddings of cells', () => {
  let loaded: LoadedEngine;

  beforeAll(async () => {
    const modelPath = await randomModelPath({ type: 'Q8_0', heads: 4, kvHeads: 2 });
    loaded = await openEngine({ modelPath, kvBackend: 'cells', maxModelLen: 512, maxNumBatchedTokens: 96 });
  });

  afterAll(() => loaded.dispose());

  it('are those of a prompt alone, up to rounding', () => {
    const requests = prompts(loaded.info.vocabSize);
    const alone = new Map(requests.flatMap((request) => [...embedAll(loaded, [request])]));
    const crowd = embedAll(loaded, requests);
    expect(crowd.size).toBe(requests.length);
    for (const [id, vector] of crowd) expect(cosine(vector, alone.get(id)!), id).toBeGreaterThan(0.999);
  });
});

describe('an embedding that can never be', () => {
  it('is refused, and one that is aborted leaves nothing', async () => {
    const modelPath = await randomModelPath({ type: 'Q8_0', heads: 4, kvHeads: 2 });
    const loaded = await openEngine({ modelPath, maxModelLen: 64 });
    const { engine } = loaded;
    engine.embed(embedRequest('long', pseudoRandomTokens(65, 1, 512)));
    engine.embed(embedRequest('empty', new Int32Array()));
    expect(engine.takeEvents().map(({ type }) => type)).toEqual(['rejected', 'rejected']);
    engine.embed(embedRequest('gone', pseudoRandomTokens(64, 1, 512), { pooling: 'mean' }));
    engine.abort('gone');
    expect(engine.takeEvents()).toEqual([{ type: 'finished', requestId: 'gone', choice: 0, reason: 'abort' }]);
    expect(engine.hasWork()).toBe(false);
    // A whole model length fits, as nothing is generated.
    expect(embedAll(loaded, [embedRequest('most', pseudoRandomTokens(64, 1, 512))]).size).toBe(1);
    loaded.dispose();
  });
});

function meanOf(rows: Float32Array[]): Float32Array {
  return rows[0]!.map((_, i) => rows.reduce((sum, row) => sum + row[i]!, 0) / rows.length);
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
