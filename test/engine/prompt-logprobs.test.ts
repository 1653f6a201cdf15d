import { beforeAll, describe, expect, it } from 'vitest';
import type { EngineConfig, EngineRequest, TokenLogprobs } from '../../src/engine/protocol.js';
import { engineRequest, pseudoRandomTokens } from '../support/engine-requests.js';
import { randomModelPath } from '../support/random-model.js';
import { openEngine, runToEnd } from '../support/run-engine.js';

describe('log-probabilities of a prompt', () => {
  let modelPath: string;
  /** Prompts that end with what was generated after their beginning, and the log-probabilities that had then. */
  let requests: EngineRequest[];
  const generated = new Map<string, TokenLogprobs[]>();

  const open = (config: Partial<EngineConfig> = {}) => openEngine({ modelPath, maxModelLen: 512, ...config });

  beforeAll(async () => {
    modelPath = await randomModelPath({ type: 'Q8_0', heads: 4, kvHeads: 2 });
    const loaded = await open();
    expect(loaded.info.batchInvariant).toBe(true);
    const beginnings = [1, 5, 40, 111, 290].map((length, i) => pseudoRandomTokens(length, i, loaded.info.vocabSize));
    const { transcripts } = runToEnd(
      loaded,
      beginnings.map((tokens, i) =>
        engineRequest(`b${i}`, tokens, { sampling: { temperature: 1, logprobs: 2, maxTokens: 24 } }),
      ),
    );
    requests = beginnings.map((tokens, i) => {
      const transcript = transcripts.get(`b${i}/0`)!;
      generated.set(`r${i}`, transcript.logprobs as TokenLogprobs[]);
      const promptTokenIds = Int32Array.from([...tokens, ...transcript.tokens]);
      return engineRequest(`r${i}`, promptTokenIds, { promptLogprobs: 2, n: i === 2 ? 3 : 1 });
    });
    loaded.dispose();
  });

  it.each<[string, Partial<EngineConfig>]>([
    ['in one step', {}],
    ['in small steps, a beginning of it cached', { maxNumBatchedTokens: 48 }],
    ['without a prefix cache', { maxNumBatchedTokens: 96, enablePrefixCaching: false }],
  ])('have the bits that its tokens had when they were generated: %s', async (_, config) => {
    const loaded = await open(config);
    // The prompts are in the prefix cache, and in use, when their log-probabilities are asked for.
    const others = requests.map((request) => ({ ...request, id: `other-${request.id}`, promptLogprobs: null }));
    for (const request of others) loaded.engine.add(request);
    const { promptLogprobs, transcripts } = runToEnd(loaded, [], (step) => {
      if (step < requests.length) loaded.engine.add(requests[step]!);
    });
    expect(promptLogprobs.size).toBe(requests.length);
    for (const { id, promptTokenIds, n } of requests) {
      const scores = promptLogprobs.get(id)!;
      expect(scores).toHaveLength(promptTokenIds.length - 1);
      const expected = generated.get(id)!;
      expect(scores.slice(-expected.length), id).toEqual(expected);
      for (let choice = 0; choice < n; choice++) {
        // Asking changes no answer.
        expect(transcripts.get(`${id}/${choice}`)).toEqual(transcripts.get(`other-${id}/${choice}`));
      }
    }
    expect(loaded.engine.stats()).toMatchObject({ blocksUsed: 0, runningSequences: 0 });
    loaded.dispose();
  });
});
