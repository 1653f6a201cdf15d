import { Worker } from 'node:worker_threads';
import type { Grammar } from './grammar.js';
import { GrammarError } from './grammar-error.js';
import { createMask, type MaskReply, type MaskRequest, openMask } from './mask-messages.js';
import { packVocabulary, type Vocabulary } from './vocabulary.js';
import { workerEntry } from './worker-entry.js';

/** A thread that has written no mask for so long has hung. Compiling another grammar may take it seconds. */
const PATIENCE_MS = 20_000;

const NO_MORE = Int32Array.of(-1);

interface ChoiceMask {
  count: Int32Array;
  words: Int32Array;
  /** How many tokens it has gone on with. */
  accepted: number;
}

interface ConstrainedRequest {
  choices: ChoiceMask[];
  opened?: { resolve(): void; reject(error: Error): void };
}

/**
 * Which tokens may come next in constrained choices. A thread of its own works that out: it is told of each token at
 * the end of a step and has until the end of the next decode.
 */
export class TokenMasks {
  private readonly vocabulary: Vocabulary;
  private readonly requests = new Map<string, ConstrainedRequest>();
  /** Of the mask that was asked for last, in memory that is not shared. */
  private readonly words: Int32Array;
  private accepted: Array<readonly [id: string, choice: number, token: number]> = [];
  private worker: Worker | undefined;

  constructor(vocabulary: Vocabulary) {
    this.vocabulary = vocabulary;
    this.words = new Int32Array(Math.ceil(vocabulary.size / 32));
  }

  /**
   * Compiles a grammar for a request. Resolves when the first masks of its choices are there. To be released.
   * @param begun the tokens that each of them has already
   * @throws GrammarError when it is not a grammar; Error when the thread has failed
   */
  open(id: string, { textTokens, ...text }: Grammar, begun: ReadonlyArray<readonly number[]>): Promise<void> {
    const choices = begun.map((tokens) => ({ mask: createMask(this.vocabulary.size), tokens }));
    const request: ConstrainedRequest = { choices: choices.map(({ mask }) => ({ ...openMask(mask), accepted: 0 })) };
    this.requests.set(id, request);
    const bytes = textTokens.map((token) => [token, this.vocabulary.pieceBytes(token, true)] as const);
    return new Promise((resolve, reject) => {
      request.opened = { resolve, reject };
      this.send({ type: 'open', id, grammar: { ...text, textTokens: bytes }, choices });
    });
  }

  /**
   * A bit for each token that the choice may go on with; undefined if there is none, or the thread has failed. Waits for
   * the thread if it has to.
   * @returns memory that the next call overwrites
   */
  next(id: string, choice: number): Int32Array | undefined {
    const mask = this.requests.get(id)!.choices[choice]!;
    for (;;) {
      const written = Atomics.load(mask.count, 0);
      if (written > mask.accepted) break;
      if (written < 0) return undefined;
      if (Atomics.wait(mask.count, 0, written, PATIENCE_MS) === 'timed-out') this.fail('it hangs');
    }
    this.words.set(mask.words);
    return this.words;
  }

  /** The choice has gone on with this token, one that its mask allowed. The thread learns of it by {@link flush}. */
  accept(id: string, choice: number, token: number): void {
    this.requests.get(id)!.choices[choice]!.accepted++;
    this.accepted.push([id, choice, token]);
  }

  flush(): void {
    if (this.accepted.length === 0) return;
    this.send({ type: 'accept', tokens: this.accepted });
    this.accepted = [];
  }

  /** The request is over; its masks may not be asked for any more. */
  release(id: string): void {
    if (!this.requests.delete(id)) return;
    this.worker?.postMessage({ type: 'close', id } satisfies MaskRequest);
  }

  dispose(): void {
    this.fail('the engine is closed');
  }

  private send(message: MaskRequest): void {
    // A thread that has failed is replaced when there is a new request; what ran on the old one has been told.
    if (message.type === 'open') this.worker ??= this.start();
    this.worker?.postMessage(message);
  }

  private start(): Worker {
    const worker = new Worker(workerEntry('mask-worker'), { workerData: packVocabulary(this.vocabulary) });
    // It must not keep a process alive that has nothing else to do.
    worker.unref();
    worker.on('message', (reply: MaskReply) => this.answered(reply));
    const failed = (reason: string): void => {
      if (this.worker === worker) this.fail(reason);
    };
    worker.on('error', (error) => failed(error.message));
    worker.on('exit', (code) => failed(`exit code ${code}`));
    return worker;
  }

  private answered(reply: MaskReply): void {
    const opened = this.requests.get(reply.id)?.opened;
    if (reply.type === 'opened') opened?.resolve();
    else opened?.reject(reply.wrong ? new GrammarError(reply.message) : new Error(reply.message));
  }

  /** All that have masks of this thread get none any more. */
  private fail(reason: string): void {
    const { worker } = this;
    this.worker = undefined;
    worker?.terminate();
    for (const { choices, opened } of this.requests.values()) {
      // Not the shared one: the thread may be writing its last.
      for (const choice of choices) choice.count = NO_MORE;
      opened?.reject(new Error(`the thread that matches grammars has failed: ${reason}`));
    }
  }
}
