import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { LRUCache } from 'lru-cache';
import type { CheckReply, CheckRequest } from './check-messages.js';
import type { Form } from './form.js';
import type { Grammar, GrammarText } from './grammar.js';
import { GrammarError } from './grammar-error.js';
import { packVocabulary, type Vocabulary } from './vocabulary.js';
import { workerEntry } from './worker-entry.js';

/** UTF-16 units of a form as JSON, and of the grammar that comes of it. */
const LONGEST_FORM = 256 * 1024;
const LONGEST_GRAMMAR = 4 * 1024 * 1024;

/** Some forms take forever, and nobody should wait for those of others. */
const TIME_LIMIT_MS = 5000;
/** The first one has to wait for the thread to start and to look at the vocabulary. */
const START_MS = 5000;

/** UTF-16 units of grammars to remember. */
const REMEMBERED = 32 * 1024 * 1024;
/** Forms that were refused; each may have taken all of the time, and a client that tries again would have it do so. */
const REMEMBERED_REFUSALS = 1000;
const REFUSAL_MS = 60_000;

/** Of the thread: grammars of the greatest size take a tenth of it. */
const HEAP_MIB = 1024;

interface Job {
  request: CheckRequest;
  resolve(text: GrammarText): void;
  reject(error: Error): void;
}

/**
 * Makes grammars of what clients ask for, in a thread of its own, one at a time. A form that takes longer than
 * {@link TIME_LIMIT_MS} is refused, and the thread is replaced.
 */
export class GrammarMaker {
  private readonly vocabulary: Vocabulary;
  private readonly timeLimitMs: number;
  private readonly made = new LRUCache<string, GrammarText>({
    maxSize: REMEMBERED,
    sizeCalculation: ({ ebnf }, key) => ebnf.length + key.length,
  });
  /** By a hash of the form. */
  private readonly refused = new LRUCache<string, GrammarError>({ max: REMEMBERED_REFUSALS, ttl: REFUSAL_MS });
  /** Several requests for the same form wait for one. */
  private readonly pending = new Map<string, Promise<GrammarText>>();
  private readonly waiting: Job[] = [];
  private running: Job | undefined;
  private worker: Worker | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(vocabulary: Vocabulary, timeLimitMs = TIME_LIMIT_MS) {
    this.vocabulary = vocabulary;
    this.timeLimitMs = timeLimitMs;
  }

  /**
   * @param textTokens Special tokens that stand for their text.
   * @throws GrammarError when the form is not one, or takes too long; Error when the thread has failed
   */
  async make(form: Form, textTokens: readonly number[] = []): Promise<Grammar> {
    const key = keyOf(form, textTokens);
    if (key.length > LONGEST_FORM) {
      throw new GrammarError(`it is too long: ${key.length} of at most ${LONGEST_FORM} characters`);
    }
    let text = this.made.get(key);
    if (text === undefined) {
      const hash = createHash('sha256').update(key).digest('base64');
      const refusal = this.refused.get(hash);
      if (refusal !== undefined) throw refusal;
      try {
        const pending =
          this.pending.get(hash) ?? this.inTurn(form, textTokens).finally(() => this.pending.delete(hash));
        this.pending.set(hash, pending);
        text = await pending;
      } catch (error) {
        if (error instanceof GrammarError) this.refused.set(hash, error);
        throw error;
      }
      this.made.set(key, text);
    }
    return { ...text, textTokens };
  }

  private inTurn(form: Form, textTokens: readonly number[]): Promise<GrammarText> {
    const bytes = textTokens.map((token) => [token, this.vocabulary.pieceBytes(token, true)] as const);
    return new Promise((resolve, reject) => {
      this.waiting.push({ request: { form, textTokens: bytes }, resolve, reject });
      this.next();
    });
  }

  dispose(): void {
    for (const job of this.waiting.splice(0)) job.reject(new Error('the server is shutting down'));
    this.stop();
  }

  private next(): void {
    if (this.running !== undefined) return;
    this.running = this.waiting.shift();
    if (this.running === undefined) return;
    const { request } = this.running;
    const isFirst = this.worker === undefined;
    this.worker ??= this.start();
    const message = isFirst ? { ...request, vocabulary: packVocabulary(this.vocabulary) } : request;
    try {
      this.worker.postMessage(message);
    } catch {
      // Copying it takes a stack as deep as the form is nested. The thread knows nothing of it, perhaps not even the words.
      this.stop(new GrammarError('it is nested too deeply'));
      return;
    }
    const limit = this.timeLimitMs + (isFirst ? START_MS : 0);
    this.timer = setTimeout(() => {
      const seconds = this.timeLimitMs / 1000;
      this.stop(new GrammarError(`it is too complex: making a grammar of it takes more than ${seconds} s`));
    }, limit);
  }

  private start(): Worker {
    const worker = new Worker(workerEntry('check-worker'), { resourceLimits: { maxOldGenerationSizeMb: HEAP_MIB } });
    worker.unref();
    const failed = (reason: string): void => {
      if (this.worker === worker) this.stop(new Error(`the thread that makes grammars has failed: ${reason}`));
    };
    worker.on('message', (reply: CheckReply) => {
      if (this.worker === worker) this.answered(reply);
    });
    worker.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ERR_WORKER_OUT_OF_MEMORY') return failed(error.message);
      const reason = 'it is too complex: making a grammar of it takes more memory than it may';
      if (this.worker === worker) this.stop(new GrammarError(reason));
    });
    worker.on('exit', (code) => failed(`exit code ${code}`));
    return worker;
  }

  private answered(reply: CheckReply): void {
    const job = this.running;
    this.running = undefined;
    clearTimeout(this.timer);
    if ('message' in reply) job?.reject(new GrammarError(reply.message, reply.path));
    else if ('fault' in reply) job?.reject(new GrammarError(`it is more than can be handled: ${reply.fault}`));
    else if (reply.text.ebnf.length > LONGEST_GRAMMAR) job?.reject(new GrammarError('it is too large'));
    else job?.resolve(reply.text);
    this.next();
  }

  /** Ends the thread, and the job it is at with this error. */
  private stop(error = new Error('the server is shutting down')): void {
    clearTimeout(this.timer);
    const job = this.running;
    this.running = undefined;
    const { worker } = this;
    this.worker = undefined;
    worker?.terminate();
    job?.reject(error);
    this.next();
  }
}

/** @throws GrammarError */
function keyOf(form: Form, textTokens: readonly number[]): string {
  try {
    return JSON.stringify([form, textTokens]);
  } catch {
    throw new GrammarError('it is nested too deeply');
  }
}
