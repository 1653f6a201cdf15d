import type { TokenSelection } from '../selection/index.js';
import type { SamplingParams } from './protocol.js';
import { uniform } from './random.js';

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
  /** A bit for each token that may be chosen; left out: all. There is one at least, and bans do not hold if it is all there is. */
  allowed?: Int32Array;
  choice: number;
  /** Position of the token to choose in the sequence. */
  position: number;
}

/**
 * Chooses next tokens from logits. The order of the steps is vLLM's: mask, bans and biases, penalties, temperature, min-p,
 * top-k, top-p; then locally typical sampling, as in Hugging Face's transformers.
 *
 * Everything is a function of logits, parameters, seed, choice and position, down to the last bit.
 */
export class Sampler {
  private readonly selection: TokenSelection;
  private readonly allTokens: Int32Array;
  // Where candidates are kept from one filter to the next: memory for a whole vocabulary takes long to get.
  private readonly adjusted: Float32Array;
  private readonly tokens: Int32Array;
  private readonly logits: Float32Array;
  private readonly weights: Float64Array;
  private readonly scores: Float32Array;

  constructor(vocabSize: number, selection: TokenSelection) {
    this.selection = selection;
    this.allTokens = Int32Array.from({ length: vocabSize }, (_, token) => token);
    this.adjusted = new Float32Array(vocabSize);
    this.tokens = new Int32Array(vocabSize);
    this.logits = new Float32Array(vocabSize);
    this.weights = new Float64Array(vocabSize);
    this.scores = new Float32Array(vocabSize);
  }

  /** @param logits [vocabSize]; not changed */
  sample(logits: Float32Array, request: SampleRequest): number {
    const { sampling, choice, position } = request;
    const adjusted = this.adjust(logits, request);
    if (sampling.temperature === 0) return this.selection.argMax(adjusted);
    return draw(this.filter(adjusted, sampling), uniform(sampling.seed, choice, position));
  }

  /** Logits after mask, bans, biases and penalties: the given ones when there are none, else a copy until the next call. */
  private adjust(logits: Float32Array, request: SampleRequest): Float32Array {
    const { sampling, history, banned, allowed } = request;
    if (banned.length === 0 && sampling.logitBias.length === 0 && history === undefined && !allowed) return logits;
    const { adjusted } = this;
    if (allowed) this.selection.mask(logits, allowed, adjusted);
    else adjusted.set(logits);
    for (const [token, bias] of sampling.logitBias) adjusted[token] += bias;
    if (history) penalize(adjusted, history, sampling);
    for (const token of banned) adjusted[token] = Number.NEGATIVE_INFINITY;
    if (allowed && banned.length > 0 && adjusted[this.selection.argMax(adjusted)] === Number.NEGATIVE_INFINITY) {
      return this.adjust(logits, { ...request, banned: [] });
    }
    return adjusted;
  }

  private filter(logits: Float32Array, { temperature, topK, topP, minP, typicalP }: SamplingParams): Candidates {
    const { selection, weights } = this;
    // Weights mean nothing until candidates are weighed.
    let kept: Candidates = { tokens: this.allTokens, logits, weights, total: 0 };
    if (topK > 0 && topK < logits.length) kept = this.select(kept, this.likeliest(logits, topK));
    const highest = kept.logits[selection.argMax(kept.logits)];
    if (minP > 0) kept = this.select(kept, selection.atLeast(kept.logits, highest + temperature * Math.log(minP)));
    kept.total = selection.weigh(kept.logits, highest, temperature, weights);
    if (topP < 1) kept = this.select(kept, this.nucleus(kept, kept.logits, topP));
    if (typicalP < 1) {
      const scores = typicality(kept, highest, temperature, this.scores.subarray(0, kept.logits.length));
      kept = this.select(kept, this.nucleus(kept, scores, typicalP));
    }
    return kept;
  }

  /** @param places of those to keep; ascending, so that no candidate is overwritten before it has been moved */
  private select({ tokens, logits, weights }: Candidates, places: Int32Array): Candidates {
    const kept = {
      tokens: pick(tokens, places, this.tokens),
      logits: pick(logits, places, this.logits),
      weights: pick(weights, places, this.weights),
      total: 0,
    };
    for (let i = 0; i < places.length; i++) kept.total += kept.weights[i];
    return kept;
  }

  /**
   * Places, ascending, of the candidates with the highest scores, as many as it takes for their probabilities to sum to
   * `mass`. With logits as scores this is nucleus sampling (Holtzman et al. 2019).
   */
  private nucleus({ weights, total }: Candidates, scores: Float32Array, mass: number): Int32Array {
    // Most often a few are enough.
    const best = this.selection.topIndices(scores, RANKED_FIRST);
    let sum = 0;
    for (let i = 0; i < best.length; i++) {
      sum += weights[best[i]];
      if (sum >= mass * total) return best.subarray(0, i + 1).sort();
    }
    return this.selection.nucleus(scores, weights, mass * total);
  }

  /** The k likeliest tokens, ascending. */
  private likeliest(logits: Float32Array, k: number): Int32Array {
    if (k <= MOST_RANKED) return this.selection.topIndices(logits, k).sort();
    return this.selection.nucleus(logits, this.weights.fill(1), k);
  }
}

/** How many candidates to rank before all are looked at for the border of a nucleus. */
const RANKED_FIRST = 64;

/** To rank more candidates than these takes longer than to find the last of them without an order. */
const MOST_RANKED = 1024;

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
  /** Sum of the weights. */
  total: number;
}

/** `target[i] = values[places[i]]`. Returns the part of `target` that was written. */
function pick<T extends Int32Array | Float32Array | Float64Array>(values: T, places: Int32Array, target: T): T {
  for (let i = 0; i < places.length; i++) target[i] = values[places[i]];
  return target.subarray(0, places.length) as T;
}

/**
 * Locally typical sampling (Meister et al. 2022) prefers tokens whose information is closest to the expected one.
 * @param scores receives how much each candidate is preferred
 */
function typicality(
  { logits, weights, total }: Candidates,
  highest: number,
  temperature: number,
  scores: Float32Array,
): Float32Array {
  const logTotal = Math.log(total);
  let entropy = 0;
  for (let i = 0; i < logits.length; i++) {
    scores[i] = logTotal - (logits[i] - highest) / temperature;
    // A token without weight may have infinite information.
    if (weights[i] > 0) entropy += (weights[i] / total) * scores[i];
  }
  for (let i = 0; i < scores.length; i++) scores[i] = -Math.abs(scores[i] - entropy);
  return scores;
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
