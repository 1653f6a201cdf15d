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

  constructor(vocabSize: number) {
    this.work = new Float32Array(vocabSize);
  }

  /** @param logits [vocabSize]; not changed */
  sample(logits: Float32Array, request: SampleRequest): number {
    const { sampling, choice, position } = request;
    const adjusted = this.adjust(logits, request);
    if (sampling.temperature === 0) return argMax(adjusted);
    const candidates = filter(adjusted, sampling);
    return draw(candidates, uniform(sampling.seed, choice, position));
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

/** Tokens that may be drawn, with weights proportional to their probabilities. */
interface Candidates {
  tokens: Int32Array;
  weights: Float64Array;
  /** Sum of weights, in order. */
  total: number;
}

function filter(logits: Float32Array, sampling: SamplingParams): Candidates {
  const { temperature, topK, topP, minP, typicalP } = sampling;
  let candidates = topK > 0 && topK < logits.length ? likeliest(logits, topK, temperature) : all(logits, temperature);
  if (minP > 0) {
    // The likeliest token's weight is exactly 1.
    candidates = keep(candidates, (i) => candidates.weights[i] >= minP);
  }
  if (topP < 1) candidates = nucleus(candidates, topP);
  if (typicalP < 1) candidates = typical(candidates, typicalP);
  return candidates;
}

function likeliest(logits: Float32Array, k: number, temperature: number): Candidates {
  const tokens = topIndices(logits, k);
  return weigh(tokens, logits, logits[tokens[0]], temperature);
}

function all(logits: Float32Array, temperature: number): Candidates {
  const tokens = new Int32Array(logits.length);
  for (let i = 0; i < tokens.length; i++) tokens[i] = i;
  return weigh(tokens, logits, logits[argMax(logits)], temperature);
}

function weigh(tokens: Int32Array, logits: Float32Array, highest: number, temperature: number): Candidates {
  const weights = new Float64Array(tokens.length);
  let total = 0;
  for (let i = 0; i < tokens.length; i++) {
    const weight = Math.exp((logits[tokens[i]] - highest) / temperature);
    weights[i] = weight;
    total += weight;
  }
  return { tokens, weights, total };
}

/** The candidates for which `wanted(index)` holds, in the same order. */
function keep(candidates: Candidates, wanted: (index: number) => boolean): Candidates {
  const order: number[] = [];
  for (let i = 0; i < candidates.tokens.length; i++) if (wanted(i)) order.push(i);
  return select(candidates, order);
}

function select({ tokens, weights }: Candidates, order: readonly number[]): Candidates {
  const kept = {
    tokens: Int32Array.from(order, (i) => tokens[i]),
    weights: Float64Array.from(order, (i) => weights[i]),
    total: 0,
  };
  for (const weight of kept.weights) kept.total += weight;
  return kept;
}

/** The shortest prefix of `order` whose weights reach `mass` of the total; never empty. */
function reach({ weights, total }: Candidates, order: number[], mass: number): number[] {
  let sum = 0;
  for (let count = 0; count < order.length; count++) {
    sum += weights[order[count]];
    if (sum >= mass * total) return order.slice(0, count + 1);
  }
  return order;
}

/** Nucleus sampling (Holtzman et al. 2019): the fewest tokens whose probabilities sum to `topP`. */
function nucleus(candidates: Candidates, topP: number): Candidates {
  // Tokens lighter than this cannot sum to more than 1 − topP, so the nucleus is complete without them: no need to sort
  // the whole vocabulary.
  const negligible = ((1 - topP) * candidates.total) / candidates.tokens.length;
  const order: number[] = [];
  for (let i = 0; i < candidates.tokens.length; i++) if (candidates.weights[i] >= negligible) order.push(i);
  order.sort((a, b) => candidates.weights[b] - candidates.weights[a] || a - b);
  return select(candidates, reach(candidates, order, topP));
}

/** Locally typical sampling (Meister et al. 2022): tokens whose information is closest to the expected one. */
function typical(candidates: Candidates, typicalP: number): Candidates {
  const { weights, total } = candidates;
  const information = Float64Array.from(weights, (weight) => -Math.log(weight / total));
  let entropy = 0;
  for (let i = 0; i < weights.length; i++) if (weights[i] > 0) entropy += (weights[i] / total) * information[i];
  const distance = information.map((value) => Math.abs(value - entropy));
  const order = Array.from(weights.keys()).sort((a, b) => distance[a] - distance[b] || a - b);
  return select(candidates, reach(candidates, order, typicalP));
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
