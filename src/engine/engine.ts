import type { EngineFaults } from '../faults/index.js';
import { type Grammar, GrammarError, type TokenMasks } from '../grammar/index.js';
import {
  AdmissionError,
  type ScheduledSequence,
  Scheduler,
  type SchedulerOptions,
  type Sequence,
  type StepPlan,
} from '../scheduler/index.js';
import type { TokenSelection } from '../selection/index.js';
import type { Chunk, Executor } from './executor.js';
import { tokenLogprobs } from './logprobs.js';
import { createPooler, type Pooler } from './pooling.js';
import { createPromptScorer, type PromptScorer } from './prompt-logprobs.js';
import type {
  EmbedRequest,
  EngineEvent,
  EngineRequest,
  EngineStats,
  FinishReason,
  SamplingParams,
} from './protocol.js';
import { countToken, createHistory, Sampler, type TokenHistory } from './sampler.js';
import { TokenRules } from './token-rules.js';

export interface EngineOptions extends SchedulerOptions {
  executor: Pick<Executor, 'run' | 'logits'>;
  selection: TokenSelection;
  vocabSize: number;
  /** The model's own end-of-generation tokens. */
  endTokens: readonly number[];
  /** What works out which tokens a grammar allows. */
  masks: Pick<TokenMasks, 'open' | 'next' | 'accept' | 'flush' | 'release'>;
  /** There is something new to do or to send, without a call from outside. */
  onChange?(): void;
  /** The step that begins now is the first one of these requests. */
  onAdmitted?(requestIds: string[]): void;
  /** Check the scheduler's books after every step. */
  checkEveryStep: boolean;
  /** What a test wants to go wrong. */
  faults?: EngineFaults | undefined;
}

/**
 * The step loop's body: requests in, {@link step} after step, events out. One step plans, computes one batch, samples,
 * and commits; whoever drives it decides when. Nothing here waits or knows of processes.
 */
export class Engine {
  private readonly options: EngineOptions;
  private readonly scheduler: Scheduler;
  private readonly sampler: Sampler;
  private readonly endTokens: ReadonlySet<number>;
  private readonly requests = new Map<string, EngineRequest>();
  /** Those that a step has begun with. */
  private readonly admitted = new Set<string>();
  /** Requests whose grammar is being compiled. */
  private readonly preparing = new Map<string, EngineRequest>();
  /** By request: who reads the rows of its prompt, if anybody. */
  private readonly readers = new Map<string, Pooler | PromptScorer>();
  private readonly histories = new WeakMap<Sequence, TokenHistory>();
  private readonly rules = new WeakMap<Sequence, TokenRules>();
  private events: EngineEvent[] = [];
  private readonly totals = { steps: 0, promptTokensComputed: 0, generatedTokens: 0, decodeMs: 0, stepMs: 0 };

  constructor(options: EngineOptions) {
    this.options = options;
    this.scheduler = new Scheduler(options);
    this.sampler = new Sampler(options.vocabSize, options.selection);
    this.endTokens = new Set(options.endTokens);
  }

  /**
   * Queues a request; one that can never run is answered with a `rejected` event. With a grammar it is queued as soon as
   * that is compiled.
   */
  add(request: EngineRequest): void {
    if (request.grammar === null) this.enqueue(request);
    else this.prepare(request, request.grammar);
  }

  private prepare(request: EngineRequest, grammar: Grammar): void {
    const { masks, onChange } = this.options;
    const { id, n, resume } = request;
    if (this.preparing.has(id) || this.requests.has(id)) {
      this.reject(id, `a request with id ${id} is running`);
      return;
    }
    this.preparing.set(id, request);
    const isAwaited = (): boolean => this.preparing.get(id) === request && this.preparing.delete(id);
    const begun = Array.from({ length: n }, (_, choice) => resume?.find((one) => one.choice === choice)?.tokens ?? []);
    masks.open(id, grammar, begun).then(
      () => {
        if (!isAwaited()) return;
        this.enqueue(request);
        onChange?.();
      },
      (error: Error) => {
        if (!isAwaited()) return;
        masks.release(id);
        if (error instanceof GrammarError) this.reject(id, `The grammar cannot be used: ${error.message}`);
        else this.endUnstarted(request, 'error');
        onChange?.();
      },
    );
  }

  private enqueue(request: EngineRequest): void {
    const { id, promptTokenIds, n, priority, tenant, cacheSalt, sampling, resume } = request;
    const { maxTokens } = sampling;
    // Of what is resumed, the client has been told.
    const promptLogprobs = resume === null ? request.promptLogprobs : null;
    const computesAll = promptLogprobs !== null;
    const isAdmitted = this.admit(id, () => {
      if (maxTokens < 1) throw new AdmissionError(`max_tokens must be at least 1, got ${maxTokens}`);
      const wanted = { id, promptTokenIds, maxTokens, n, priority, tenant, cacheSalt, computesAll };
      const sequences = this.scheduler.add(resume === null ? wanted : { ...wanted, resume });
      if (resume !== null) for (const sequence of sequences) this.remember(sequence, request);
    });
    if (!isAdmitted) {
      if (request.grammar !== null) this.options.masks.release(id);
      return;
    }
    this.requests.set(id, request);
    if (promptLogprobs === null) return;
    this.readers.set(id, createPromptScorer(promptTokenIds, promptLogprobs, this.options.selection));
  }

  /** Queues a prompt to be embedded; one that can never be is answered with a `rejected` event. */
  embed({ id, promptTokenIds, pooling, priority, tenant, cacheSalt }: EmbedRequest): void {
    const computesAll = pooling === 'mean';
    const isAdmitted = this.admit(id, () =>
      this.scheduler.add({ id, promptTokenIds, maxTokens: 0, n: 1, priority, tenant, cacheSalt, computesAll }),
    );
    if (isAdmitted) this.readers.set(id, createPooler(pooling, promptTokenIds.length));
  }

  /** Ends a request or one of its choices now. Its blocks are free for the next step. */
  abort(requestId: string, choice?: number): void {
    const request = this.preparing.get(requestId);
    if (request !== undefined) {
      this.preparing.delete(requestId);
      this.options.masks.release(requestId);
      this.endUnstarted(request, 'abort');
      return;
    }
    for (const sequence of this.scheduler.abort(requestId, choice)) {
      for (let fork = 0; fork <= sequence.pendingForks; fork++) {
        this.events.push({ type: 'finished', requestId, choice: sequence.choice + fork, reason: 'abort' });
      }
    }
    this.forgetIfOver(requestId);
  }

  hasWork(): boolean {
    return this.scheduler.runningCount + this.scheduler.waitingCount > 0;
  }

  /** When {@link step} may find something to do although it just did not, on the clock of `performance.now()`. */
  wakeAt(): number | undefined {
    return this.scheduler.wakeAt();
  }

  /**
   * Computes one batch. Returns false when there was nothing to compute.
   * @throws whatever the executor throws: the engine's state is lost then
   */
  step(): boolean {
    const began = performance.now();
    const { faults } = this.options;
    if (faults !== undefined) this.scheduler.withholdBlocks(this.hasWork() && faults.beginStep());
    const plan = this.scheduler.plan(began);
    if (plan.scheduled.length === 0) return false;
    this.tellAdmitted(plan);
    faults?.beforeDecode(plan.scheduled.map(({ sequence }) => promptOf(sequence)));
    const chunks = plan.scheduled.map((scheduled) => this.chunkOf(scheduled));
    const decodeBegan = performance.now();
    this.options.executor.run(chunks, plan.copies);
    this.totals.decodeMs += performance.now() - decodeBegan;
    this.scheduler.commit(plan);
    plan.scheduled.forEach((scheduled, index) => {
      this.countComputed(scheduled);
      const { sequence, samples } = scheduled;
      if (!samples) return;
      const reader = this.readers.get(sequence.requestId);
      if (reader?.kind === 'states') this.finishEmbedding(sequence, reader);
      else this.sample(sequence, this.options.executor.logits(index), reader);
    });
    this.options.masks.flush();
    const ms = performance.now() - began;
    this.scheduler.observe(plan, ms);
    this.totals.steps++;
    this.totals.stepMs += ms;
    if (this.options.checkEveryStep) this.scheduler.check();
    return true;
  }

  /** The executor has lost the contents of these blocks; it recomputes them for sequences that have them already. */
  forget(blocks: readonly number[]): void {
    this.scheduler.forget(blocks);
  }

  /** Compares the allocator's books with what sequences hold. @throws Error when they disagree */
  check(): void {
    this.scheduler.check();
  }

  /** Everything that happened since the last call, in order. */
  takeEvents(): EngineEvent[] {
    const { events } = this;
    this.events = [];
    return events;
  }

  stats(): EngineStats {
    const { used, cached, free } = this.scheduler.blocks();
    return {
      runningSequences: this.scheduler.runningCount,
      waitingRequests: this.scheduler.waitingCount + this.preparing.size,
      blocksTotal: this.options.numBlocks,
      blocksUsed: used,
      blocksCached: cached,
      blocksFree: free,
      ...this.totals,
      ...this.scheduler.counters,
    };
  }

  /** Should the step be the engine's last, it is known who was in it. */
  private tellAdmitted({ scheduled }: StepPlan): void {
    const fresh: string[] = [];
    for (const { sequence } of scheduled) {
      if (this.admitted.has(sequence.requestId)) continue;
      this.admitted.add(sequence.requestId);
      fresh.push(sequence.requestId);
    }
    if (fresh.length > 0) this.options.onAdmitted?.(fresh);
  }

  private admit(requestId: string, add: () => void): boolean {
    try {
      add();
      return true;
    } catch (error) {
      if (!(error instanceof AdmissionError)) throw error;
      this.reject(requestId, error.message);
      return false;
    }
  }

  private chunkOf({ sequence, start, count, samples }: ScheduledSequence): Chunk {
    const chunk = { tokens: sequence.tokens.array, start, count, blocks: sequence.table.blocks };
    const reader = this.readers.get(sequence.requestId);
    if (reader === undefined) return { ...chunk, wantsLogits: samples };
    const wantsLogits = samples && reader.kind === 'logits';
    return { ...chunk, wantsLogits, ...(reader.reads(start + count) && { reader }) };
  }

  private finishEmbedding(sequence: Sequence, pooler: Pooler): void {
    this.events.push({ type: 'embedding', requestId: sequence.requestId, vector: pooler.vector() });
    this.finish(sequence, 'stop');
  }

  private countComputed({ sequence, start, count }: ScheduledSequence): void {
    this.totals.promptTokensComputed += Math.max(0, Math.min(start + count, sequence.promptLength) - start);
  }

  /** Chooses the next token of a sequence, and of the choices that split off from it here. */
  private sample(sequence: Sequence, logits: Float32Array, scorer: PromptScorer | undefined): void {
    const request = this.requests.get(sequence.requestId)!;
    const isFirst = sequence.tokens.length === sequence.promptLength;
    if (isFirst && sequence.choice === 0) {
      if (scorer) this.events.push({ type: 'promptLogprobs', requestId: request.id, logprobs: scorer.logprobs() });
      this.events.push({ type: 'started', requestId: request.id, cachedTokens: sequence.cachedTokens });
    }
    for (const choice of [sequence, ...this.scheduler.fork(sequence)]) {
      if (isFirst) this.remember(choice, request);
      this.advance(choice, request, logits);
    }
  }

  /** Begins to keep what the next tokens of a choice depend on, besides its text: from those that it has. */
  private remember(sequence: Sequence, { sampling, promptTokenIds }: EngineRequest): void {
    const history = createHistory(sampling, promptTokenIds);
    const rules = TokenRules.of(sampling, this.options.vocabSize);
    if (history) this.histories.set(sequence, history);
    if (rules) this.rules.set(sequence, rules);
    for (let i = sequence.promptLength; i < sequence.tokens.length; i++) {
      if (history) countToken(history, sequence.tokens.array[i]);
      rules?.count(sequence.tokens.array[i]);
    }
  }

  private advance(sequence: Sequence, request: EngineRequest, logits: Float32Array): void {
    const { id: requestId, sampling } = request;
    const { masks } = this.options;
    const generated = sequence.tokens.length - sequence.promptLength;
    const history = this.histories.get(sequence);
    const rules = this.rules.get(sequence);
    const { choice } = sequence;
    const inGrammar = request.grammar === null ? undefined : masks.next(requestId, choice);
    if (request.grammar !== null && inGrammar === undefined) {
      this.finish(sequence, 'error');
      return;
    }
    const tooEarly = generated < sampling.minTokens ? this.endingTokens(sampling) : [];
    const { allowed, banned } = rules?.next(inGrammar) ?? { allowed: inGrammar, banned: [] };
    const token = this.sampler.sample(logits, {
      sampling,
      history,
      banned: banned.length === 0 ? tooEarly : [...tooEarly, ...banned],
      ...(allowed && { allowed }),
      choice,
      position: sequence.tokens.length,
    });
    if (history) countToken(history, token);
    rules?.count(token);
    this.scheduler.append(sequence, token);
    this.totals.generatedTokens++;
    const logprobs =
      sampling.logprobs === null ? undefined : tokenLogprobs(this.options.selection, logits, token, sampling.logprobs);
    this.events.push({ type: 'token', requestId, choice, token, ...(logprobs && { logprobs }) });

    if (this.ends(token, request)) this.finish(sequence, 'stop', token);
    else if (generated + 1 === sampling.maxTokens) this.finish(sequence, 'length');
    else if (inGrammar) masks.accept(requestId, choice, token);
  }

  private finish(sequence: Sequence, reason: FinishReason, stopToken?: number): void {
    this.scheduler.finish(sequence);
    this.events.push({
      type: 'finished',
      requestId: sequence.requestId,
      choice: sequence.choice,
      reason,
      ...(stopToken !== undefined && { stopToken }),
    });
    this.forgetIfOver(sequence.requestId);
  }

  private ends(token: number, { sampling: { ignoreEos, stopTokenIds }, grammar }: EngineRequest): boolean {
    // A grammar allows the model's end tokens only where its text is complete.
    return ((!ignoreEos || grammar !== null) && this.endTokens.has(token)) || stopTokenIds.includes(token);
  }

  private endingTokens({ ignoreEos, stopTokenIds }: SamplingParams): readonly number[] {
    return ignoreEos ? stopTokenIds : [...this.options.endTokens, ...stopTokenIds];
  }

  private forgetIfOver(requestId: string): void {
    if (this.scheduler.has(requestId)) return;
    const request = this.requests.get(requestId);
    this.requests.delete(requestId);
    this.admitted.delete(requestId);
    this.readers.delete(requestId);
    if (request !== undefined && request.grammar !== null) this.options.masks.release(requestId);
  }

  private reject(requestId: string, message: string): void {
    this.events.push({ type: 'rejected', requestId, message });
  }

  /** Ends all choices of a request that is not queued yet. */
  private endUnstarted({ id, n }: EngineRequest, reason: FinishReason): void {
    for (let choice = 0; choice < n; choice++) {
      this.events.push({ type: 'finished', requestId: id, choice, reason });
    }
  }
}

function promptOf({ tokens, promptLength }: Sequence): Int32Array {
  return tokens.array.subarray(0, promptLength);
}
