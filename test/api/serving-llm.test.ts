import { describe, expect, it } from 'vitest';
import { EngineUnavailableError, LLM, RequestError } from '../../src/serving/index.js';
import { createFakeEngine, type FakeEngineOptions, fakeServingParts } from '../support/fake-engine.js';
import { EOS } from '../support/fake-vocabulary.js';

function create(options: FakeEngineOptions = {}) {
  const engine = createFakeEngine(options);
  return { engine, llm: new LLM('fake', {}, fakeServingParts(engine)) };
}

/** Continues a prompt with its own tokens, again and again. */
const echo: FakeEngineOptions = {
  token: ({ promptTokenIds }, _, position) => promptTokenIds[position % promptTokenIds.length]!,
};

describe('the offline LLM', () => {
  it('continues one prompt', async () => {
    await using llm = create().llm;
    expect(await llm.generate('Hi', { maxTokens: 4 })).toEqual([
      {
        text: 'abcd',
        finishReason: 'length',
        stopReason: null,
        usage: { promptTokens: 2, cachedTokens: 0, completionTokens: 4, reasoningTokens: 0 },
        tokens: [],
      },
    ]);
  });

  it('continues many prompts at once, and gives results in their order', async () => {
    const { engine, llm } = create({ ...echo, pace: 'manual' });
    const prompts = ['one', { kind: 'text', text: 'two' } as const, { kind: 'tokens', tokenIds: [120, 121] } as const];
    const results = llm.generate(prompts, { maxTokens: 4 });
    while (engine.requests.length < prompts.length) await new Promise(setImmediate);
    for (let step = 0; step < 4; step += 1) engine.step();
    expect((await results).map(({ text }) => text)).toEqual(['oneo', 'twot', 'xyxy']);
    await llm.close();
  });

  it('answers one conversation, and several', async () => {
    const { engine, llm } = create();
    const conversation = [{ role: 'user', content: 'Hi' }];
    expect(await llm.chat(conversation, { maxTokens: 2 })).toHaveLength(1);
    expect(await llm.chat([conversation, conversation], { maxTokens: 2 })).toHaveLength(2);
    const [first, ...others] = engine.requests.map(({ promptTokenIds }) => [...promptTokenIds]);
    expect(others).toEqual([first, first]);
    await llm.close();
  });

  it('tells where and why a text ended, with its tokens when log-probabilities are asked for', async () => {
    const { llm } = create({ token: (_, __, at) => [97, 98, EOS][at]! });
    const [stopped] = await llm.generate('Hi', { stop: ['b'], logprobs: 0 });
    expect(stopped).toMatchObject({ text: 'a', finishReason: 'stop', stopReason: 'b' });
    expect(stopped!.tokens.map(({ tokenId }) => tokenId)).toEqual([97, 98]);
    const [ended] = await llm.generate('Hi');
    expect(ended).toMatchObject({ text: 'ab', finishReason: 'stop', stopReason: null });
    await llm.close();
  });

  it('fails as a whole when one prompt is refused, and computes nothing further', async () => {
    const { engine, llm } = create({ pace: 'manual' });
    await expect(llm.generate(['fine', ''])).rejects.toThrow(RequestError);
    engine.step();
    expect(engine.stats()).toMatchObject({ runningSequences: 0, waitingRequests: 0 });
    await llm.close();
  });

  it('fails when its model cannot be loaded, and when it is closed', async () => {
    const missing = new LLM(
      'fake',
      {},
      {
        ...fakeServingParts(createFakeEngine()),
        resolveModel: () => Promise.reject(new Error('no such model')),
      },
    );
    await expect(missing.generate('Hi')).rejects.toThrow('no such model');
    await missing.close();
    const { llm } = create();
    await llm.generate('Hi', { maxTokens: 1 });
    await llm.close();
    await expect(llm.generate('Hi')).rejects.toThrow(EngineUnavailableError);
  });
});
