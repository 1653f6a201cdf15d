import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tokenLogprobs } from '../../src/engine/logprobs.js';
import type { SamplingParams } from '../../src/engine/protocol.js';
import { countToken, createHistory, Sampler } from '../../src/engine/sampler.js';
import { portableSelection } from '../../src/selection/index.js';
import { samplingParams } from '../support/engine-requests.js';

const { argMax, topIndices } = portableSelection;

const logitsArbitrary = fc
  .array(fc.integer({ min: -40, max: 40 }), { minLength: 1, maxLength: 60 })
  .map((values) => Float32Array.from(values, (value) => value / 4));

/** Every token that comes up over many positions. */
function reachable(logits: Float32Array, sampling: Partial<SamplingParams>, draws = 400): Set<number> {
  const sampler = new Sampler(logits.length, portableSelection);
  const params = samplingParams({ temperature: 1, ...sampling });
  const history = createHistory(params, new Int32Array(0));
  const tokens = new Set<number>();
  for (let position = 0; position < draws; position++) {
    tokens.add(sampler.sample(logits, { sampling: params, history, banned: [], choice: 0, position }));
  }
  return tokens;
}

function softmax(logits: Float32Array, temperature = 1): number[] {
  const weights = Array.from(logits, (logit) => Math.exp(logit / temperature));
  const total = weights.reduce((a, b) => a + b);
  return weights.map((weight) => weight / total);
}

describe('tokenLogprobs', () => {
  it('gives logarithms of a distribution that sums to 1, the rank, and the best tokens', () => {
    fc.assert(
      fc.property(logitsArbitrary, fc.nat(), (logits, pick) => {
        const token = pick % logits.length;
        const { logprob, rank, topTokens, topLogprobs } = tokenLogprobs(
          portableSelection,
          logits,
          token,
          logits.length,
        );
        const probabilities = softmax(logits);
        expect(Math.exp(logprob)).toBeCloseTo(probabilities[token], 10);
        expect(rank).toBe(1 + logits.filter((logit) => logit > logits[token]).length);
        expect(topTokens).toEqual(Array.from(topIndices(logits, logits.length)));
        expect(topLogprobs.reduce((sum, value) => sum + Math.exp(value), 0)).toBeCloseTo(1, 10);
      }),
    );
  });
});

describe('Sampler', () => {
  it('is greedy at temperature 0', () => {
    fc.assert(
      fc.property(logitsArbitrary, (logits) => {
        expect(reachable(logits, { temperature: 0 }, 3)).toEqual(new Set([argMax(logits)]));
      }),
    );
  });

  it('draws tokens as often as their probabilities say', () => {
    const logits = Float32Array.of(0, 1, 2, -1);
    const draws = 20_000;
    for (const temperature of [0.5, 1, 2]) {
      const sampler = new Sampler(logits.length, portableSelection);
      const sampling = samplingParams({ temperature, seed: 7 });
      const counts = new Array<number>(logits.length).fill(0);
      for (let position = 0; position < draws; position++) {
        counts[sampler.sample(logits, { sampling, history: undefined, banned: [], choice: 0, position })]++;
      }
      softmax(logits, temperature).forEach((probability, token) => {
        const deviation = Math.sqrt(draws * probability * (1 - probability));
        expect(Math.abs(counts[token] - draws * probability)).toBeLessThan(5 * deviation + 1);
      });
    }
  });

  it('keeps to the k likeliest tokens with top-k', () => {
    fc.assert(
      fc.property(logitsArbitrary, fc.integer({ min: 1, max: 10 }), (logits, topK) => {
        const allowed = new Set(topIndices(logits, topK));
        for (const token of reachable(logits, { topK, temperature: 10 }, 60)) expect(allowed).toContain(token);
      }),
    );
  });

  it('keeps to the nucleus with top-p', () => {
    fc.assert(
      fc.property(logitsArbitrary, fc.double({ min: 0.05, max: 0.99, noNaN: true }), (logits, topP) => {
        const probabilities = softmax(logits);
        const nucleus = new Set<number>();
        let mass = 0;
        for (const token of topIndices(logits, logits.length)) {
          nucleus.add(token);
          mass += probabilities[token];
          // Rounding may put the border on either side: allow the token on it.
          if (mass >= topP + 1e-9) break;
        }
        for (const token of reachable(logits, { topP }, 60)) expect(nucleus).toContain(token);
      }),
    );
  });

  it('keeps to tokens at least min-p times as likely as the likeliest', () => {
    const logits = Float32Array.of(0, Math.log(0.5), Math.log(0.3), Math.log(0.1));
    expect(reachable(logits, { minP: 0.2 })).toEqual(new Set([0, 1, 2]));
  });

  it('prefers the expected information to the likeliest token with typical-p', () => {
    // One token with half the mass, and many equal ones: the entropy is closer to the many.
    const logits = Float32Array.from([Math.log(40), ...new Array<number>(60).fill(0)]);
    expect(reachable(logits, { typicalP: 0.3 })).not.toContain(0);
    expect(reachable(logits, { typicalP: 1 })).toContain(0);
  });

  it('adds biases, and never draws a banned token', () => {
    const logits = Float32Array.of(5, 1, 0);
    expect(reachable(logits, { temperature: 0, logitBias: [[2, 100]] }, 3)).toEqual(new Set([2]));
    const sampler = new Sampler(3, portableSelection);
    const sampling = samplingParams({ logitBias: [[0, 100]] });
    expect(sampler.sample(logits, { sampling, history: undefined, banned: [0], choice: 0, position: 0 })).toBe(1);
    expect(Array.from(logits)).toEqual([5, 1, 0]);
  });

  it('penalises what prompt and output contain', () => {
    const logits = Float32Array.of(3, 2.5, -1);
    const next = (sampling: Partial<SamplingParams>, prompt: number[], output: number[]): number => {
      const params = samplingParams(sampling);
      const history = createHistory(params, Int32Array.from(prompt));
      for (const token of output) if (history) countToken(history, token);
      return new Sampler(3, portableSelection).sample(logits, {
        sampling: params,
        history,
        banned: [],
        choice: 0,
        position: 0,
      });
    };
    expect(next({}, [0], [0])).toBe(0);
    expect(next({ repetitionPenalty: 2 }, [0], [])).toBe(1);
    expect(next({ repetitionPenalty: 2 }, [], [0])).toBe(1);
    expect(next({ presencePenalty: 1 }, [0], [])).toBe(0);
    expect(next({ presencePenalty: 1 }, [], [0])).toBe(1);
    expect(next({ frequencyPenalty: 0.3 }, [], [0])).toBe(0);
    expect(next({ frequencyPenalty: 0.3 }, [], [0, 0])).toBe(1);
  });
});
