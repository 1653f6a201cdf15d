import { describe, expect, it } from 'vitest';
import type { SamplingParams } from '../../src/engine/protocol.js';
import { toEngineRequest } from '../../src/serving/engine-request.js';
import { ContextLengthError, RequestError } from '../../src/serving/errors.js';
import { defaultSampling } from '../../src/serving/sampling-defaults.js';
import type { GenerationRequest } from '../../src/serving/types.js';
import { createFakeEngine } from '../support/fake-engine.js';

const { info } = createFakeEngine({ info: { maxModelLen: 100, maxNumSeqs: 4 } });
const request: GenerationRequest = { id: 'r', prompt: { kind: 'text', text: 'abc' }, sampling: {} };
const prompt = (tokens: number) => new Int32Array(tokens);

function withSampling(sampling: Partial<SamplingParams>, tokens = 3) {
  return toEngineRequest({ ...request, sampling }, prompt(tokens), info);
}

function errorOf(run: () => unknown): RequestError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(RequestError);
    return error as RequestError;
  }
  throw new Error('nothing was thrown');
}

describe('the request to the engine', () => {
  it('has every default filled in', () => {
    const { sampling, ...rest } = toEngineRequest(request, prompt(3), info);
    expect(rest).toEqual({
      id: 'r',
      promptTokenIds: prompt(3),
      n: 1,
      priority: 0,
      tenant: '',
      cacheSalt: '',
      promptLogprobs: null,
      grammar: null,
      resume: null,
    });
    expect(sampling).toEqual({ ...defaultSampling, seed: sampling.seed, maxTokens: 97 });
    expect(Number.isSafeInteger(sampling.seed)).toBe(true);
  });

  it('treats a field that is undefined as left out', () => {
    expect(withSampling({ topP: undefined, seed: undefined, maxTokens: undefined }).sampling).toMatchObject({
      topP: 1,
      maxTokens: 97,
      seed: expect.any(Number),
    });
  });

  it('has a seed of its own when none is given, and the given one otherwise', () => {
    const seeds = Array.from({ length: 8 }, () => withSampling({}).sampling.seed);
    expect(new Set(seeds).size).toBe(8);
    expect(withSampling({ seed: 42 }).sampling.seed).toBe(42);
  });

  it('may fill the model to its last token, not beyond', () => {
    expect(withSampling({ maxTokens: 60 }, 40).sampling.maxTokens).toBe(60);
    const error = errorOf(() => withSampling({ maxTokens: 61 }, 40));
    expect(error).toBeInstanceOf(ContextLengthError);
    expect(error).toMatchObject({ param: 'prompt', code: 'context_length_exceeded' });
    expect(error.message).toBe(
      "This model's maximum context length is 100 tokens. However, you requested 101 tokens " +
        '(40 in the prompt, 61 in the completion). Please reduce the length of the prompt or completion.',
    );
  });

  it('must leave room for at least one token', () => {
    expect(withSampling({}, 99).sampling.maxTokens).toBe(1);
    const chat: GenerationRequest = { ...request, prompt: { kind: 'chat', messages: [] } };
    const error = errorOf(() => toEngineRequest(chat, prompt(100), info));
    expect(error).toMatchObject({ param: 'messages', code: 'context_length_exceeded' });
    expect(error.message).toContain('your messages resulted in 100 tokens');
  });

  it('must have a prompt', () => {
    expect(errorOf(() => toEngineRequest(request, prompt(0), info)).param).toBe('prompt');
  });

  it.each([0, -1, 1.5, 5, Number.NaN])('cannot have %d choices', (n) => {
    expect(errorOf(() => toEngineRequest({ ...request, n }, prompt(3), info)).param).toBe('n');
  });

  it('can have as many choices as sequences run at a time', () => {
    expect(toEngineRequest({ ...request, n: 4 }, prompt(3), info).n).toBe(4);
  });

  it('cannot have an empty stop string', () => {
    expect(errorOf(() => toEngineRequest({ ...request, stop: ['a', ''] }, prompt(3), info)).param).toBe('stop');
  });

  it.each<[string, Partial<SamplingParams>]>([
    ['temperature', { temperature: -0.1 }],
    ['temperature', { temperature: Number.NaN }],
    ['top_k', { topK: 1.5 }],
    ['top_p', { topP: 0 }],
    ['top_p', { topP: 1.01 }],
    ['min_p', { minP: -0.1 }],
    ['typical_p', { typicalP: 0 }],
    ['repetition_penalty', { repetitionPenalty: 0 }],
    ['presence_penalty', { presencePenalty: 2.1 }],
    ['frequency_penalty', { frequencyPenalty: Number.POSITIVE_INFINITY }],
    ['seed', { seed: 0.5 }],
    ['min_tokens', { minTokens: -1 }],
    ['min_tokens', { minTokens: 98 }],
    ['min_tokens', { minTokens: 5, maxTokens: 4 }],
    ['max_tokens', { maxTokens: 0 }],
    ['logprobs', { logprobs: -1 }],
    ['stop_token_ids', { stopTokenIds: [260] }],
    ['stop_token_ids', { stopTokenIds: [0.5] }],
    ['logit_bias', { logitBias: [[-1, 0]] }],
    ['logit_bias', { logitBias: [[1, Number.NaN]] }],
  ])('is refused for its %s: %o', (param, sampling) => {
    expect(errorOf(() => withSampling(sampling)).param).toBe(param);
  });

  it('takes the extremes of every range', () => {
    const sampling = {
      temperature: 0,
      topK: 0,
      topP: 1,
      minP: 1,
      typicalP: 1,
      presencePenalty: -2,
      frequencyPenalty: 2,
      seed: Number.MIN_SAFE_INTEGER,
      minTokens: 97,
      maxTokens: 97,
      logprobs: 0,
      stopTokenIds: [0, 259],
      logitBias: [[259, -100]] as const,
    };
    expect(withSampling(sampling).sampling).toMatchObject(sampling);
  });
});
