import type { FinishReason } from '../engine/protocol.js';
import type { GeneratedToken, GenerationEvent, GenerationFinish } from './types.js';

/**
 * Generation events between an engine that does not wait and a reader that may be slow. What a choice produces while
 * nobody reads is merged into one delta, so the queue never holds more than one delta and one finish per choice.
 */
export interface EventQueue {
  push(choice: number, text: string, tokens: readonly GeneratedToken[]): void;
  finish(choice: number, reason: FinishReason, stopReason: GenerationFinish['stopReason']): void;
  /** No more events will come. With an error, readers get it once they have read what came before. */
  end(error?: Error): void;
  /** Hands what was pushed to a reader that waits. Pushing alone wakes nobody: a step's events go out as one delta. */
  wake(): void;
  /** The events, for one reader, once; `onLeave` is called when it leaves before the end. */
  read(onLeave: () => void): AsyncIterable<GenerationEvent>;
}

type ReadResult = IteratorResult<GenerationEvent, undefined>;

interface PendingChoice {
  text: string;
  tokens: GeneratedToken[];
  finish?: GenerationFinish;
}

export function createEventQueue(): EventQueue {
  /** In the order in which choices first had something to say since they were last read. */
  const pending = new Map<number, PendingChoice>();
  let ended = false;
  let failure: Error | undefined;
  /** Those who wait, longest first. */
  const readers: Array<(result: Promise<ReadResult> | ReadResult) => void> = [];
  let hasReader = false;
  let left = false;

  function pendingOf(choice: number): PendingChoice {
    const own = pending.get(choice) ?? { text: '', tokens: [] };
    pending.set(choice, own);
    return own;
  }

  function take(): GenerationEvent | undefined {
    for (const [choice, own] of pending) {
      if (own.text !== '' || own.tokens.length > 0) {
        if (own.finish === undefined) pending.delete(choice);
        else pending.set(choice, { text: '', tokens: [], finish: own.finish });
        return { type: 'delta', choice, text: own.text, tokens: own.tokens };
      }
      pending.delete(choice);
      if (own.finish !== undefined) return own.finish;
    }
    return undefined;
  }

  /** What a reader is to be told now, if there is anything. */
  function poll(): Promise<ReadResult> | ReadResult | undefined {
    if (left) return { done: true, value: undefined };
    const event = take();
    if (event !== undefined) return { done: false, value: event };
    if (failure !== undefined) {
      const error = failure;
      failure = undefined;
      return Promise.reject(error);
    }
    return ended ? { done: true, value: undefined } : undefined;
  }

  function wake(): void {
    while (readers.length > 0) {
      const result = poll();
      if (result === undefined) return;
      readers.shift()!(result);
    }
  }

  function next(): Promise<ReadResult> {
    const result = poll();
    return result === undefined ? new Promise((resolve) => readers.push(resolve)) : Promise.resolve(result);
  }

  return {
    push(choice, text, tokens) {
      if (text === '' && tokens.length === 0) return;
      const own = pendingOf(choice);
      own.text += text;
      for (const token of tokens) own.tokens.push(token);
    },

    finish(choice, reason, stopReason) {
      pendingOf(choice).finish = { type: 'finish', choice, reason, stopReason };
    },

    end(error) {
      ended = true;
      failure = error;
      wake();
    },

    wake,

    // Written out rather than as a generator: a generator's return() waits for a next() that is under way, so a reader
    // that leaves while nothing comes would leave too late.
    read: (onLeave) => ({
      [Symbol.asyncIterator]() {
        if (hasReader) throw new Error('The events of a generation can be read only once.');
        hasReader = true;
        return {
          next,
          async return() {
            left = true;
            onLeave();
            wake();
            return { done: true, value: undefined };
          },
        };
      },
    }),
  };
}
