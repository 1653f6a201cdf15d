import type { SamplingParams, ThinkingBudget } from './protocol.js';

/** What the next token of a choice may be. */
export interface TokenChoice {
  /** A bit for each token that may be chosen; left out: all. */
  allowed?: Int32Array;
  /** Tokens that must not be chosen. */
  banned: readonly number[];
}

/** What one choice may go on with by its sampling parameters, besides what its grammar says. */
export class TokenRules {
  private readonly badWords: SamplingParams['badWords'];
  private readonly only: Int32Array | undefined;
  private readonly thinking: Thinking | undefined;
  private readonly words: Int32Array;
  private readonly output: number[] = [];

  private constructor({ allowedTokenIds, badWords, thinking }: SamplingParams, vocabSize: number) {
    this.words = new Int32Array(Math.ceil(vocabSize / 32));
    this.badWords = badWords;
    this.only = allowedTokenIds === null ? undefined : maskOf(allowedTokenIds, this.words.slice());
    this.thinking = thinking === null ? undefined : new Thinking(thinking);
  }

  /** The rules of a choice that has generated nothing; undefined when its sampling parameters have none. */
  static of(sampling: SamplingParams, vocabSize: number): TokenRules | undefined {
    const { allowedTokenIds, badWords, thinking } = sampling;
    if (allowedTokenIds === null && badWords.length === 0 && thinking === null) return undefined;
    return new TokenRules(sampling, vocabSize);
  }

  /**
   * @param grammar a bit for each token that the choice's grammar allows, which goes before everything else
   * @returns masks that the next call overwrites
   */
  next(grammar?: Int32Array): TokenChoice {
    const forced = this.thinking?.forced();
    if (forced !== undefined && (grammar === undefined || hasBit(grammar, forced))) {
      return { allowed: maskOf([forced], this.words.fill(0)), banned: [] };
    }
    const banned = this.badWords.filter((word) => endsWith(this.output, word.slice(0, -1))).map((word) => word.at(-1)!);
    const allowed = this.only && grammar ? this.both(this.only, grammar) : (this.only ?? grammar);
    return { ...(allowed && { allowed }), banned };
  }

  /** The choice has gone on with this token. */
  count(token: number): void {
    this.output.push(token);
    this.thinking?.count(token, this.output);
  }

  private both(only: Int32Array, grammar: Int32Array): Int32Array {
    let some = 0;
    for (let i = 0; i < this.words.length; i++) {
      this.words[i] = only[i] & grammar[i];
      some |= this.words[i];
    }
    return some === 0 ? grammar : this.words;
  }
}

/** Counts the tokens that a choice thinks for, and says which ones end that when they are too many. */
class Thinking {
  private readonly budget: ThinkingBudget;
  private state: 'before' | 'thinking' | 'over';
  private thought = 0;
  /** How much of the closing marker has been forced. */
  private closed = 0;

  constructor(budget: ThinkingBudget) {
    this.budget = budget;
    this.state = budget.isOpen ? 'thinking' : 'before';
  }

  forced(): number | undefined {
    const { close, tokens } = this.budget;
    return this.state === 'thinking' && this.thought >= tokens ? close[this.closed] : undefined;
  }

  count(token: number, output: readonly number[]): void {
    const { open, close } = this.budget;
    if (this.state === 'before') {
      if (endsWith(output, open)) this.state = 'thinking';
      return;
    }
    if (this.state === 'over') return;
    if (endsWith(output, close)) this.state = 'over';
    else if (token === this.forced()) this.closed++;
    else {
      this.thought++;
      this.closed = 0;
    }
  }
}

function endsWith(tokens: readonly number[], end: readonly number[]): boolean {
  return end.every((token, i) => tokens[tokens.length - end.length + i] === token);
}

function maskOf(tokens: readonly number[], words: Int32Array): Int32Array {
  for (const token of tokens) words[token >> 5] |= 1 << (token & 31);
  return words;
}

function hasBit(words: Int32Array, token: number): boolean {
  return ((words[token >> 5] >>> (token & 31)) & 1) === 1;
}
