import { type BlockCopy, type BlockJournal, type BlockTable, KVCache } from '../kvcache/index.js';
import { type BatchingPolicy, type BatchingPolicyName, createBatchingPolicy } from './batching-policy.js';
import { FairQueue } from './fair-queue.js';
import { holdings, isShared, OUTPUT_WEIGHT, SlotShares, slotsOf, takingTurns } from './fair-share.js';
import { PrefillBudget } from './prefill-budget.js';
import { PrefixClaims } from './prefix-claims.js';
import { compareSequences, forkSequence, isDecoding, remainingTokens, type Sequence } from './sequence.js';
import { addChunk, StepTimeModel, type StepWork } from './step-time-model.js';
import { TokenList } from './token-list.js';

export interface SchedulerOptions {
  numBlocks: number;
  /** Tokens per block. */
  blockSize: number;
  enablePrefixCaching: boolean;
  /** Most sequences that run at once. */
  maxNumSeqs: number;
  /** Most tokens in one step; at least maxNumSeqs, so that decodes always fit. */
  maxNumBatchedTokens: number;
  /** Rows that matrix products take together: each row of a tile that is not full takes longer. Left out: 1. */
  rowTile?: number;
  /**
   * How long a step may take, in ms, when prompts share it with sequences that are decoding; 0: no limit. `auto`: as long as
   * is hardly felt, or several times what decodes alone take.
   */
  targetItlMs: number | 'auto';
  /** Longest sequence, prompt and output together. */
  maxModelLen: number;
  policy: BatchingPolicyName;
  /** ms; how long policy `dynamic` waits for a batch to fill. */
  batchWindowMs: number;
  /** See KVCacheOptions. */
  journal?: BlockJournal;
}

/** What the scheduler has to know of a request. */
export interface ScheduleRequest {
  id: string;
  promptTokenIds: Int32Array;
  /** Most tokens each choice may generate; 0: the prompt is only computed. */
  maxTokens: number;
  n: number;
  priority: number;
  /** On whose behalf it runs; left out: of nobody in particular. */
  tenant?: string;
  cacheSalt: string;
  /** Something is wanted of every position of the prompt: none may come from the prefix cache. */
  computesAll?: boolean;
  /** Only these of its choices, behind tokens that they have already; left out: all, from the beginning. */
  resume?: ReadonlyArray<{ choice: number; tokens: readonly number[] }>;
}

/** Compute positions [start, start + count) of the sequence in this step. */
export interface ScheduledSequence {
  sequence: Sequence;
  start: number;
  count: number;
  /** The chunk reaches the newest token: the step's logits choose the next one. */
  samples: boolean;
}

export interface StepPlan {
  scheduled: ScheduledSequence[];
  /** Blocks to copy before the step computes anything. */
  copies: BlockCopy[];
  /** Sum of all counts. */
  tokens: number;
}

/** Totals since the start, for metrics. */
export interface SchedulerCounters {
  preemptions: number;
  prefixQueriedTokens: number;
  prefixHitTokens: number;
}

/** The request can never run here, however long it waits. */
export class AdmissionError extends Error {
  override readonly name = 'AdmissionError';
}

/**
 * Prefills to have at hand, even if fewer could fill a step: so a short prompt need not wait in the queue until long
 * ones are computed.
 */
const MIN_PREFILLS = 4;

/** A step of fewer tiles of rows would change too much by being cut to whole ones. */
const LEAST_TILES = 4;

/**
 * What `auto` allows a step, in ms, and as a multiple of what decodes alone take: the larger one. Where decodes take most of a
 * target, prompts would come too slowly to fill the batch. On a random 0.5B, 32 at once, 4 times the decodes instead of
 * 225 ms gave 59 tok/s instead of 55, and half of the first tokens within 6.5 s instead of 22.
 */
const AUTO_TARGET_MS = 225;
const AUTO_TARGET_DECODES = 4;

/**
 * How long a step may take that has prompts of a tenant with more than its share, as a part of `targetItlMs`, and what they
 * get at least, as a part of what decodes take. What another tenant asks waits for the step that is under way, so its first
 * token comes the sooner.
 */
const GREEDY_STEP = 1 / 4;
const GREEDY_LEAST = 1 / 2;

/**
 * Decides who runs in a step, and with how many tokens (vLLM V1's rule): a step has a token budget, every sequence
 * wants its remaining tokens: a decode 1, a prefill the rest of its prompt, cut into chunks by the budget. Decodes come
 * first; then waiting sequences are admitted by (priority, service to their tenant, arrival) while slots and blocks last
 * and prefills are wanted; then prefills share what is left of the budget.
 *
 * While somebody decodes, prefills get only so many tokens that the step is expected to take `targetItlMs`, by a model
 * of step times that {@link observe} feeds: nobody's answer stands still for another one's prompt (Sarathi-Serve,
 * Agrawal et al. 2024). And half of what prefills get may go to prompts shorter than the first one.
 *
 * A step is: {@link plan}, compute, {@link commit}, then for each sequence that sampled {@link fork} (its further
 * choices, once), {@link append} and, at its end, {@link finish}, and at last {@link observe}. {@link add} and
 * {@link abort} go between steps. No I/O, no clock.
 *
 * When blocks run out, the newest sequence of the lowest priority is preempted, of the tenant with the most of them: its
 * blocks are freed with their contents, so that resuming finds what has not been overwritten. The last running sequence is
 * never preempted for blocks: it fits by itself, or it would not have been admitted.
 *
 * Tenants share evenly, but leave to others what they do not want: the queue goes by what each was served
 * ({@link FairQueue}), running sequences take turns ({@link takingTurns}), and whoever waits with less than its share of
 * slots or blocks gets them from those with more ({@link makeRoomForFirst}), whose prompts may not lengthen steps by much
 * ({@link greedyBudget}) and who wait for a step when another one's is computed ({@link letOthersFirst}). With one tenant nothing of that happens.
 */
export class Scheduler {
  readonly options: SchedulerOptions;
  readonly counters: SchedulerCounters = { preemptions: 0, prefixQueriedTokens: 0, prefixHitTokens: 0 };
  private readonly cache: KVCache;
  private readonly policy: BatchingPolicy;
  private readonly waiting = new FairQueue();
  /** Best first, by {@link compareSequences}, or {@link takingTurns} while several tenants run. */
  private running: Sequence[] = [];
  private isTakingTurns = false;
  private readonly shares: SlotShares;
  /** Whether somebody waited in the last step for {@link letOthersFirst}. */
  private letFirst = false;
  private readonly sequencesOf = new Map<string, Sequence[]>();
  private readonly stepTimes = new StepTimeModel();
  private arrivals = 0;
  private readonly claims: PrefixClaims;
  /** The head of the queue did not fit when this many blocks were free: no use to look again before there are more. */
  private blockedAtFree: { sequence: Sequence; freeBlocks: number } | undefined;

  /** Holds blocks that nobody is to have for now. */
  private withheld: BlockTable | undefined;

  constructor(options: SchedulerOptions) {
    if (options.maxNumBatchedTokens < options.maxNumSeqs) {
      throw new RangeError(
        `max-num-batched-tokens (${options.maxNumBatchedTokens}) must be at least max-num-seqs (${options.maxNumSeqs})`,
      );
    }
    this.options = options;
    this.cache = new KVCache(options);
    this.claims = new PrefixClaims(this.cache);
    this.shares = new SlotShares(options.maxNumSeqs);
    this.policy = createBatchingPolicy(options.policy, options.batchWindowMs);
  }

  get runningCount(): number {
    return this.running.length;
  }

  get waitingCount(): number {
    return this.waiting.size;
  }

  /** Blocks in use, cached (in no table, but findable) and free; together all there are. */
  blocks(): { used: number; cached: number; free: number } {
    const cached = this.cache.cachedBlocks;
    const free = this.cache.freeBlocks - cached;
    return { used: this.cache.numBlocks - cached - free, cached, free };
  }

  /**
   * Queues a request.
   * @returns its first choice, or all that go on.
   * @throws AdmissionError when it can never run, with the numbers
   */
  add(request: ScheduleRequest): Sequence[] {
    const { promptTokenIds, maxTokens, n, resume } = request;
    const { maxModelLen, maxNumSeqs } = this.options;
    const length = promptTokenIds.length + maxTokens;
    if (promptTokenIds.length < 1) throw new AdmissionError('the prompt has no tokens');
    if (length > maxModelLen) {
      throw new AdmissionError(
        `${promptTokenIds.length} prompt and ${maxTokens} output tokens exceed the maximum length of ${maxModelLen}`,
      );
    }
    if (this.cache.blocksFor(length) > this.cache.numBlocks) {
      const capacity = this.cache.numBlocks * this.cache.blockSize;
      throw new AdmissionError(
        `${promptTokenIds.length} prompt and ${maxTokens} output tokens exceed the KV cache of ${capacity} tokens`,
      );
    }
    if (n < 1 || n > maxNumSeqs) throw new AdmissionError(`n must be between 1 and ${maxNumSeqs}, got ${n}`);
    if (this.sequencesOf.has(request.id)) throw new AdmissionError(`a request with id ${request.id} is running`);
    const arrival = this.arrivals++;
    const sequences = (resume ?? [{ choice: 0, tokens: [] }]).map(({ choice, tokens }): Sequence => {
      const all = new TokenList(promptTokenIds);
      for (const token of tokens) all.push(token);
      return {
        requestId: request.id,
        choice,
        tenant: request.tenant ?? '',
        priority: request.priority,
        arrival,
        promptLength: promptTokenIds.length,
        tokens: all,
        table: this.cache.createTable(request.cacheSalt),
        state: 'waiting',
        pendingForks: resume ? 0 : n - 1,
        claims: [],
        computesAll: request.computesAll ?? false,
        cachedTokens: 0,
        // By the engine that is gone, if you like.
        wasPreempted: resume !== undefined,
      };
    });
    this.sequencesOf.set(request.id, [...sequences]);
    for (const sequence of sequences) this.waiting.push(sequence);
    return sequences;
  }

  /**
   * Ends a request, or one choice of it, and frees its blocks. Unknown ids are ignored: the request may just have
   * ended. A choice that is not forked yet cannot be ended by itself. Returns the sequences that ended.
   */
  abort(requestId: string, choice?: number): Sequence[] {
    const ended = (this.sequencesOf.get(requestId) ?? []).filter(
      (sequence) => choice === undefined || sequence.choice === choice,
    );
    for (const sequence of ended) this.finish(sequence);
    return ended;
  }

  /** Whether the request still has a choice that waits or runs. */
  has(requestId: string): boolean {
    return this.sequencesOf.has(requestId);
  }

  /** Chooses what the next step computes, and reserves the blocks for it. `now` is in ms, on any steady clock. */
  plan(now: number): StepPlan {
    const plan: StepPlan = { scheduled: [], copies: [], tokens: 0 };
    this.shares.update(now, this.running, this.waiting.tenants());
    this.takeTurns();
    this.makeRoomForFirst();
    for (const sequence of [...this.running]) {
      if (sequence.state === 'running' && isDecoding(sequence)) this.planDecode(sequence, plan);
    }
    this.admit(now, plan);
    this.takeTurns();
    this.planPrefills(plan);
    // A prefill that others waited for may have found no blocks and given up its claims: now they can go on.
    if (plan.scheduled.length === 0) this.planPrefills(plan);
    this.letOthersFirst(plan);
    return plan;
  }

  /** When to plan again although {@link plan} found nothing to do and nothing arrives: ms on the clock of `plan`. */
  wakeAt(): number | undefined {
    return this.policy.wakeAt();
  }

  /** The step is computed: its positions hold KV now, and full blocks can be shared. */
  commit(plan: StepPlan): void {
    for (const { sequence, start, count } of plan.scheduled) {
      this.cache.commit(sequence.table, sequence.tokens.array, start + count);
      this.claims.settle(sequence);
    }
  }

  /** Tells how long the step took, in ms, to plan later ones by. */
  observe(plan: StepPlan, ms: number): void {
    this.stepTimes.observe(workOf(plan), ms);
  }

  /** Adds the token that was sampled for a running sequence. */
  append(sequence: Sequence, token: number): void {
    sequence.tokens.push(token);
    this.waiting.charge(sequence.tenant, OUTPUT_WEIGHT);
  }

  /** Splits off the request's further choices; before `append`, once the parent's prompt is computed. */
  fork(parent: Sequence): Sequence[] {
    const forks: Sequence[] = [];
    for (; parent.pendingForks > 0; parent.pendingForks--) {
      const choice = parent.choice + forks.length + 1;
      forks.push(forkSequence(parent, choice, this.cache.fork(parent.table)));
    }
    this.sequencesOf.get(parent.requestId)!.push(...forks);
    for (const fork of forks) this.insertRunning(fork);
    return forks;
  }

  /** Ends a sequence in any state and frees its blocks at once. */
  finish(sequence: Sequence): void {
    if (sequence.state === 'waiting') this.waiting.remove(sequence);
    if (sequence.state === 'running') this.leaveBatch(sequence);
    sequence.state = 'finished';
    const siblings = this.sequencesOf.get(sequence.requestId)!;
    siblings.splice(siblings.indexOf(sequence), 1);
    if (siblings.length === 0) this.sequencesOf.delete(sequence.requestId);
  }

  /** Whoever keeps the KV has lost the contents of these blocks: no other sequence may count on them. */
  forget(blocks: readonly number[]): void {
    this.cache.forget(blocks);
  }

  /** Keeps all blocks that are free now from being taken, or gives back those that were: for tests of scarcity. */
  withholdBlocks(all: boolean): void {
    if (all) {
      this.withheld ??= this.cache.createTable('');
      const { blocks } = this.withheld;
      this.cache.reserve(this.withheld, (blocks.length + this.cache.freeBlocks) * this.cache.blockSize);
    } else if (this.withheld !== undefined) {
      this.cache.release(this.withheld);
      this.withheld = undefined;
    }
  }

  /** @throws Error when books and tables disagree, or limits are broken */
  check(): void {
    const tables = [...this.sequencesOf.values()].flat().map((sequence) => sequence.table);
    this.cache.check(this.withheld === undefined ? tables : [...tables, this.withheld]);
    if (this.slotsUsed() > this.options.maxNumSeqs) throw new Error('more sequences run than there are slots');
    let claims = 0;
    for (const sequence of this.running) {
      claims += sequence.claims.length;
      if (sequence.state !== 'running') throw new Error(`a ${sequence.state} sequence is in the running batch`);
    }
    if (claims !== this.claims.size) throw new Error(`${this.claims.size} claims, but sequences name ${claims}`);
    const live = this.running.length + this.waiting.size;
    if (live !== tables.length) throw new Error(`${live} sequences run or wait, but ${tables.length} are known`);
  }

  /**
   * Takes those with more than their share out of a step that has a prompt of somebody else, who so gets the first token
   * sooner. They wait for one step, and never for two in a row; blocks that they have reserved are theirs.
   */
  private letOthersFirst(plan: StepPlan): void {
    const isGreedy = this.shares.greedyAmong(this.running);
    // A block is copied for whoever is to write into it at once.
    const isPlain = plan.copies.length === 0;
    const hasOther = isPlain && plan.scheduled.some(({ sequence }) => !isDecoding(sequence) && !isGreedy(sequence));
    this.letFirst = hasOther && !this.letFirst && plan.scheduled.some(({ sequence }) => isGreedy(sequence));
    if (!this.letFirst) return;
    plan.scheduled = plan.scheduled.filter(({ sequence }) => !isGreedy(sequence));
    plan.tokens = plan.scheduled.reduce((sum, { count }) => sum + count, 0);
  }

  private planDecode(sequence: Sequence, plan: StepPlan): void {
    if (plan.tokens >= this.options.maxNumBatchedTokens) return;
    const end = sequence.tokens.length;
    let copy = this.cache.reserve(sequence.table, end);
    while (copy === undefined) {
      // Decodes are planned best first, so the worst running sequence is not in the plan yet; it may be this one.
      const victim = this.running[this.running.length - 1];
      this.preempt(victim);
      if (victim === sequence) return;
      copy = this.cache.reserve(sequence.table, end);
    }
    this.schedule(sequence, 1, copy, plan);
  }

  /** Moves waiting sequences into the batch, as long as there are fewer prefills at hand than the step could use. */
  private admit(now: number, plan: StepPlan): void {
    const { maxNumSeqs, maxNumBatchedTokens } = this.options;
    let quota = this.policy.admissions({ now, running: this.running.length, waiting: this.waiting.size, maxNumSeqs });
    if (quota === 0) return;
    let prefills = 0;
    let wantedTokens = plan.tokens;
    const count = (sequence: Sequence): void => {
      this.adoptCached(sequence);
      if (this.claims.isLeftToOther(sequence)) return;
      prefills++;
      // More than half of a step is for one of them only if nobody else wants it.
      wantedTokens += Math.min(remainingTokens(sequence), maxNumBatchedTokens / 2);
    };
    for (const sequence of this.running) if (!isDecoding(sequence)) count(sequence);
    while (quota > 0) {
      const sequence = this.waiting.peek();
      if (!sequence) return;
      const isWanted = prefills < MIN_PREFILLS || wantedTokens < maxNumBatchedTokens;
      // Prefills that others have at hand are no reason for whoever has less than its share to wait.
      if (!isWanted && !this.shares.isOwed(sequence, this.running)) return;
      if (this.slotsUsed() + 1 + sequence.pendingForks > maxNumSeqs) return;
      if (this.running.length > 0 && !this.hasRoomFor(sequence)) return;
      this.waiting.pop();
      quota--;
      this.policy.admitted(1);
      if (!sequence.wasPreempted && !sequence.computesAll) this.counters.prefixQueriedTokens += sequence.promptLength;
      sequence.state = 'running';
      this.insertRunning(sequence);
      count(sequence);
      // What it has computed before was charged then.
      if (!sequence.wasPreempted) this.waiting.charge(sequence.tenant, remainingTokens(sequence));
    }
  }

  private planPrefills(plan: StepPlan): void {
    const decodes = new Set(plan.scheduled.map(({ sequence }) => sequence));
    const prefills = this.running.filter((sequence) => !decodes.has(sequence));
    for (const sequence of prefills) this.adoptCached(sequence);
    for (const [sequence, count] of this.sharePrefillBudget(prefills, plan)) {
      // One of them may have been preempted for another.
      if (sequence.state === 'running') this.planChunk(sequence, count, plan);
    }
  }

  /**
   * How many tokens each prefill is to compute: half of the budget may go to prompts that need less than the first one
   * does, the shortest first; the rest is given out in order. So a short prompt does not wait for a long one, and the
   * first one never gets less than half. Prompts of tenants with more than their share may not lengthen a step by much.
   *
   * @returns in the order of `prefills`, without those that get nothing
   */
  private sharePrefillBudget(prefills: Sequence[], plan: StepPlan): [Sequence, number][] {
    const counts = new Map<Sequence, number>();
    const isGreedy = this.shares.greedyAmong(this.running);
    const budget = this.prefillBudget(plan);
    this.sharePrefills(
      prefills.filter((sequence) => !isGreedy(sequence)),
      budget,
      counts,
    );
    const greedy = prefills.filter(isGreedy);
    if (greedy.length > 0) this.sharePrefills(greedy, this.greedyBudget(budget, plan), counts);
    this.toWholeTiles(counts, plan.tokens);
    return prefills.flatMap((sequence) => {
      const count = counts.get(sequence);
      return count === undefined ? [] : [[sequence, count]];
    });
  }

  /** Adds to `counts`. The first one gets a block at least, if nobody has got anything. */
  private sharePrefills(prefills: Sequence[], budget: PrefillBudget, counts: Map<Sequence, number>): void {
    const first = prefills.find((sequence) => !this.claims.isLeftToOther(sequence));
    if (first === undefined) return;
    if (counts.size === 0) budget.atLeast(first.table.computed, this.options.blockSize);
    const grant = (sequence: Sequence, limit: PrefillBudget): void => {
      const granted = counts.get(sequence) ?? 0;
      const start = sequence.table.computed + granted;
      const count = limit.allows(start, remainingTokens(sequence) - granted);
      if (count === 0 || this.claims.isLeftToOther(sequence)) return;
      this.claims.claim(sequence);
      counts.set(sequence, granted + count);
      budget.spend(start, count);
      if (limit !== budget) limit.spend(start, count);
    };
    this.claims.claim(first);
    const overtaking = budget.half();
    const shorter = prefills.filter(
      (sequence) => sequence.priority === first.priority && remainingTokens(sequence) < remainingTokens(first),
    );
    shorter.sort((a, b) => remainingTokens(a) - remainingTokens(b) || compareSequences(a, b));
    for (const sequence of shorter) grant(sequence, overtaking);
    for (const sequence of prefills) grant(sequence, budget);
  }

  /** Cuts or lengthens what the last prefill gets so that a step which cannot compute all prompts has whole tiles of rows. */
  private toWholeTiles(counts: Map<Sequence, number>, decodes: number): void {
    const { rowTile = 1, maxNumBatchedTokens } = this.options;
    const rows = [...counts.values()].reduce((sum, count) => sum + count, decodes);
    const last = [...counts].findLast(([sequence, count]) => count < remainingTokens(sequence));
    if (last === undefined || rows < LEAST_TILES * rowTile) return;
    const [sequence, count] = last;
    const most = Math.min(rows - count + remainingTokens(sequence), maxNumBatchedTokens);
    const nearest = rowTile * Math.round(rows / rowTile);
    const whole = nearest <= most ? nearest : nearest - rowTile;
    if (whole > rows - count) counts.set(sequence, count + whole - rows);
  }

  private prefillBudget(plan: StepPlan): PrefillBudget {
    const { maxNumBatchedTokens } = this.options;
    const decodeMs = this.stepTimes.predict(workOf(plan));
    const left = plan.scheduled.length > 0 ? this.targetMs(decodeMs) - decodeMs : Number.POSITIVE_INFINITY;
    return new PrefillBudget(this.stepTimes, maxNumBatchedTokens - plan.tokens, left);
  }

  /** How long a step of such decodes may take with prompts. */
  private targetMs(decodeMs: number): number {
    const { targetItlMs } = this.options;
    if (targetItlMs === 'auto') return Math.max(AUTO_TARGET_MS, AUTO_TARGET_DECODES * decodeMs);
    return targetItlMs || Number.POSITIVE_INFINITY;
  }

  /** What prompts of tenants with more than their share may take of a step, after others have spent of its budget. */
  private greedyBudget(budget: PrefillBudget, plan: StepPlan): PrefillBudget {
    const decodeMs = this.stepTimes.predict(workOf(plan));
    const targetMs = this.targetMs(decodeMs);
    if (targetMs === Number.POSITIVE_INFINITY) return budget;
    return budget.rest(Math.max(targetMs * GREEDY_STEP - decodeMs - budget.spentMs, decodeMs * GREEDY_LEAST));
  }

  private planChunk(sequence: Sequence, count: number, plan: StepPlan): void {
    const { computed } = sequence.table;
    let copy = this.cache.reserve(sequence.table, computed + count);
    while (copy === undefined) {
      const victim = this.running[this.running.length - 1];
      const isPlanned = plan.scheduled.some((scheduled) => scheduled.sequence === victim);
      if (victim === sequence || isPlanned) {
        // Whoever is better goes on and will free blocks. Nobody must wait for blocks that this one cannot compute.
        this.claims.drop(sequence);
        return;
      }
      this.preempt(victim);
      copy = this.cache.reserve(sequence.table, computed + count);
    }
    this.schedule(sequence, count, copy, plan);
  }

  /** Whether the queue's head can be computed to its newest token without taking blocks that others will need. */
  private hasRoomFor(sequence: Sequence): boolean {
    const blocked = this.blockedAtFree;
    if (blocked?.sequence === sequence && this.cache.freeBlocks <= blocked.freeBlocks) return false;
    // Cached blocks count as free until they are adopted, so the only way to know is to adopt them.
    this.cache.adoptCached(sequence.table, sequence.tokens.array, mostToAdopt(sequence));
    const needed = this.cache.blocksToReserve(sequence.table, sequence.tokens.length) + this.outstandingBlocks();
    const fits = needed <= this.cache.freeBlocks;
    this.cache.release(sequence.table);
    if (!fits) this.blockedAtFree = { sequence, freeBlocks: this.cache.freeBlocks };
    return fits;
  }

  private adoptCached(sequence: Sequence): void {
    const tokens = this.cache.adoptCached(sequence.table, sequence.tokens.array, mostToAdopt(sequence));
    if (sequence.wasPreempted) return;
    sequence.cachedTokens += tokens;
    this.counters.prefixHitTokens += tokens;
  }

  private schedule(sequence: Sequence, count: number, copy: BlockCopy | 'none', plan: StepPlan): void {
    const start = sequence.table.computed;
    plan.scheduled.push({ sequence, start, count, samples: start + count === sequence.tokens.length });
    if (copy !== 'none') plan.copies.push(copy);
    plan.tokens += count;
  }

  /**
   * Blocks that running sequences will still take: prefills the rest of their prompt, and each one more, since it will
   * grow. An admission that ignored them would soon preempt, or be preempted.
   */
  private outstandingBlocks(): number {
    let blocks = this.running.length;
    for (const { tokens, table } of this.running) blocks += this.cache.blocksFor(tokens.length) - table.blocks.length;
    return blocks;
  }

  private slotsUsed(): number {
    let slots = this.running.length;
    for (const sequence of this.running) slots += sequence.pendingForks;
    return slots;
  }

  private insertRunning(sequence: Sequence): void {
    let i = this.running.length;
    while (i > 0 && compareSequences(this.running[i - 1], sequence) > 0) i--;
    this.running.splice(i, 0, sequence);
  }

  /** While several tenants run, nobody's sequences all come before another's. */
  private takeTurns(): void {
    const shared = isShared(this.running);
    if (shared || this.isTakingTurns) this.running = takingTurns(this.running);
    this.isTakingTurns = shared;
  }

  /**
   * If the first one in the queue finds no slot or no blocks, and its tenant has less than its share of them, then those
   * that have more, and were served more, give theirs up: the newest first, and no more than to their share.
   */
  private makeRoomForFirst(): void {
    const first = this.waiting.peek();
    if (first === undefined || this.options.policy !== 'continuous') return;
    if (this.running.every(({ tenant }) => tenant === first.tenant)) return;
    const { maxNumSeqs, numBlocks } = this.options;
    const hasSlot = (): boolean => this.slotsUsed() + slotsOf(first) <= maxNumSeqs;
    if (!this.takeFromOthers(first, hasSlot, slotsOf, slotsOf(first), this.shares.slots)) return;
    const hasBlocks = (): boolean => this.running.length === 0 || this.hasRoomFor(first);
    const needed = this.cache.blocksFor(first.tokens.length);
    this.takeFromOthers(
      first,
      hasBlocks,
      ({ table }) => table.blocks.length,
      needed,
      Math.floor(numBlocks / this.shares.tenants),
    );
  }

  /** @returns whether there is room now */
  private takeFromOthers(
    first: Sequence,
    hasRoom: () => boolean,
    holds: (sequence: Sequence) => number,
    needed: number,
    share: number,
  ): boolean {
    const held = holdings(this.running, holds);
    const mayGiveUp = ({ tenant, priority }: Sequence): boolean =>
      tenant !== first.tenant &&
      priority >= first.priority &&
      held.get(tenant)! > share &&
      this.waiting.servedTo(tenant) > this.waiting.servedTo(first.tenant);
    while (!hasRoom()) {
      if ((held.get(first.tenant) ?? 0) + needed > share) return false;
      const victim = this.running.findLast(mayGiveUp);
      if (victim === undefined) return false;
      held.set(victim.tenant, held.get(victim.tenant)! - holds(victim));
      this.sendBack(victim);
    }
    return true;
  }

  private preempt(sequence: Sequence): void {
    if (this.running.length === 1 && this.withheld === undefined)
      throw new Error('the last running sequence does not fit the pool it was admitted to');
    this.sendBack(sequence);
  }

  /** From the batch to the queue. */
  private sendBack(sequence: Sequence): void {
    this.leaveBatch(sequence);
    sequence.state = 'waiting';
    sequence.wasPreempted = true;
    this.waiting.push(sequence);
    this.policy.admitted(-1);
    this.counters.preemptions++;
  }

  private leaveBatch(sequence: Sequence): void {
    this.running.splice(this.running.indexOf(sequence), 1);
    this.claims.drop(sequence);
    this.cache.release(sequence.table);
  }
}

/** At least the newest token is computed, as something is wanted of it. */
function mostToAdopt({ computesAll, tokens }: Sequence): number {
  return computesAll ? 0 : tokens.length - 1;
}

function workOf({ scheduled }: StepPlan): StepWork {
  const work: StepWork = { rows: 0, outputs: 0, tiledPairs: 0, lonePairs: 0 };
  for (const { start, count, samples } of scheduled) addChunk(work, start, count, samples);
  return work;
}
