import type { SamplingParams } from './protocol.js';
import { uniform } from './random.js';
import { argMax, topIndices } from './top-tokens.js';

/** What penalties need to know of a choice's past. Kept up to date by {@link countToken}. */
export interface TokenHistory {
  /** How often each token was generated. */
  generated: Map<number, number>;
  /** Tokens of the prompt. */
  prompt: Set<number>;
}

/** The history of a choice that has generated nothing, or undefined when its sampling parameters need none. */
export function createHistory(sampling: SamplingParams, prompt: Int32Array): TokenHistory | undefined {
  const { presencePenalty, frequencyPenalty, repetitionPenalty } = sampling;
  if (presencePenalty === 0 && frequencyPenalty === 0 && repetitionPenalty === 1) return undefined;
  return { generated: new Map(), prompt: new Set(repetitionPenalty === 1 ? [] : prompt) };
}

export function countToken(history: TokenHistory, token: number): void {
  history.generated.set(token, (history.generated.get(token) ?? 0) + 1);
}

export interface SampleRequest {
  sampling: SamplingParams;
  history: TokenHistory | undefined;
  /** Tokens that must not be chosen yet (end tokens before `minTokens`). */
  banned: readonly number[];
  choice: number;
  /** Position of the token to choose in the sequence. */
  position: number;
}

/**
 * Chooses next tokens from logits. The order of the steps is vLLM's: bans and biases, penalties, temperature, min-p,
 * top-k, top-p; then locally typical sampling, as in Hugging Face's transformers.
 *
 * Everything is a function of logits, parameters, seed, choice and position, down to the last bit.
 */
export class Sampler {
  private readonly work: Float32Array;
  private readonly weights: Float64Array;
  private readonly allTokens: Int32Array;

  constructor(vocabSize: number) {
    this.work = new Float32Array(vocabSize);
    this.weights = new Float64Array(vocabSize);
    this.allTokens = Int32Array.from({ length: vocabSize }, (_, token) => token);
  }

  /** @param logits [vocabSize]; not changed */
  sample(logits: Float32Array, request: SampleRequest): number {
    const { sampling, choice, position } = request;
    const adjusted = this.adjust(logits, request);
    if (sampling.temperature === 0) return argMax(adjusted);
    return draw(this.filter(adjusted, sampling), uniform(sampling.seed, choice, position));
  }

  /** Logits after bans, biases and penalties: the given ones when there are none, else a copy valid until the next call. */
  private adjust(logits: Float32Array, { sampling, history, banned }: SampleRequest): Float32Array {
    if (banned.length === 0 && sampling.logitBias.length === 0 && history === undefined) return logits;
    const { work } = this;
    work.set(logits);
    for (const [token, bias] of sampling.logitBias) work[token] += bias;
    if (history) penalize(work, history, sampling);
    for (const token of banned) work[token] = Number.NEGATIVE_INFINITY;
    return work;
  }

  private filter(logits: Float32Array, sampling: SamplingParams): Candidates {
    const { temperature, topK, topP, minP, typicalP } = sampling;
    let tokens = this.allTokens;
    if (topK > 0 && topK < logits.length) tokens = topIndices(logits, topK);
    if (minP > 0) tokens = atLeast(tokens, logits, logits[argMax(logits)] + temperature * Math.log(minP));
    let candidates = weigh(tokens, logits, temperature, this.weights);
    if (topP < 1) candidates = likeliest(candidates, candidates.logits, topP);
    if (typicalP < 1) candidates = likeliest(candidates, typicality(candidates), typicalP);
    return candidates;
  }
}

function penalize(logits: Float32Array, history: TokenHistory, sampling: SamplingParams): void {
  const { repetitionPenalty, presencePenalty, frequencyPenalty } = sampling;
  if (repetitionPenalty !== 1) {
    const repeat = (token: number): void => {
      const logit = logits[token];
      logits[token] = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
    };
    for (const token of history.prompt) repeat(token);
    for (const token of history.generated.keys()) if (!history.prompt.has(token)) repeat(token);
  }
  for (const [token, count] of history.generated) {
    logits[token] -= presencePenalty + frequencyPenalty * count;
  }
}

/** Tokens that may be drawn, with their logits and weights proportional to their probabilities. */
interface Candidates {
  tokens: Int32Array;
  logits: Float32Array;
  weights: Float64Array;
  /** Sum of the weights, in order. */
  total: number;
}

function atLeast(tokens: Int32Array, logits: Float32Array, lowest: number): Int32Array {
  return tokens.filter((token) => logits[token] >= lowest);
}

/** @param scratch at least as long as `tokens`; the weights are written there */
function weigh(tokens: Int32Array, logits: Float32Array, temperature: number, scratch: Float64Array): Candidates {
  const isAll = tokens.length === logits.length;
  const own = isAll ? logits : Float32Array.from(tokens, (token) => logits[token]);
  const highest = own[argMax(own)];
  const weights = scratch.subarray(0, own.length);
  let total = 0;
  for (let i = 0; i < own.length; i++) {
    const weight = Math.exp((own[i] - highest) / temperature);
    weights[i] = weight;
    total += weight;
  }
  return { tokens, logits: own, weights, total };
}

/** How many candidates to rank before looking whether they are enough; sorting a whole vocabulary takes long. */
const RANKED_FIRST = [64, 1024];

/**
 * The candidates of the highest `scores`, as many as it takes for their probabilities to sum to `mass`: with logits as
 * scores this is nucleus sampling (Holtzman et al. 2019).
 */
function likeliest(candidates: Candidates, scores: Float32Array, mass: number): Candidates {
  for (const count of RANKED_FIRST) {
    const { indices, isEnough } = reach(candidates, topIndices(scores, count), mass);
    if (isEnough) return select(candidates, indices);
  }
  return select(candidates, reach(candidates, topIndices(scores, scores.length), mass).indices);
}

/** The shortest beginning of `order` whose weights reach `mass` of the total; all of it when they do not. */
function reach({ weights, total }: Candidates, order: Int32Array, mass: number) {
  let sum = 0;
  for (let count = 0; count < order.length; count++) {
    sum += weights[order[count]];
    if (sum >= mass * total) return { indices: order.subarray(0, count + 1), isEnough: true };
  }
  return { indices: order, isEnough: false };
}

function select({ tokens, logits, weights }: Candidates, indices: Int32Array): Candidates {
  const kept = {
    tokens: indices.map((i) => tokens[i]),
    logits: Float32Array.from(indices, (i) => logits[i]),
    weights: Float64Array.from(indices, (i) => weights[i]),
    total: 0,
  };
  for (const weight of kept.weights) kept.total += weight;
  return kept;
}

/** Locally typical sampling (Meister et al. 2022) prefers tokens whose information is closest to the expected one. */
function typicality({ weights, total }: Candidates): Float32Array {
  let entropy = 0;
  for (const weight of weights) if (weight > 0) entropy -= (weight / total) * Math.log(weight / total);
  return Float32Array.from(weights, (weight) => -Math.abs(-Math.log(weight / total) - entropy));
}

/** Inverse-transform sampling with u in [0, 1). */
function draw({ tokens, weights, total }: Candidates, u: number): number {
  const target = u * total;
  let sum = 0;
  let last = 0;
  for (let i = 0; i < tokens.length; i++) {
    if (weights[i] === 0) continue;
    sum += weights[i];
    last = i;
    if (sum > target) break;
  }
  return tokens[last];
}
