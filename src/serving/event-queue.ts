import type { GeneratedToken, GenerationDelta, GenerationEvent, GenerationFinish, ToolCallDelta } from './types.js';

/** What a delta of one choice says. */
export type DeltaContent = Pick<GenerationDelta, 'text' | 'reasoning' | 'toolCalls' | 'tokens'>;

/**
 * Generation events between an engine that does not wait and a reader that may be slow. What a choice produces while
 * nobody reads is merged into one delta, so the queue never holds more than one delta and one finish per choice.
 */
export interface EventQueue {
  push(choice: number, delta: DeltaContent): void;
  finish(choice: number, reason: GenerationFinish['reason'], stopReason: GenerationFinish['stopReason']): void;
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
  reasoning: string;
  toolCalls: ToolCallDelta[];
  tokens: GeneratedToken[];
  finish?: GenerationFinish;
}

function nothingPending(): PendingChoice {
  return { text: '', reasoning: '', toolCalls: [], tokens: [] };
}

function isEmpty({ text, reasoning, toolCalls, tokens }: DeltaContent): boolean {
  return text === '' && reasoning === '' && toolCalls.length === 0 && tokens.length === 0;
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
    const own = pending.get(choice) ?? nothingPending();
    pending.set(choice, own);
    return own;
  }

  function take(): GenerationEvent | undefined {
    for (const [choice, own] of pending) {
      if (!isEmpty(own)) {
        const { finish, ...delta } = own;
        if (finish === undefined) pending.delete(choice);
        else pending.set(choice, { ...nothingPending(), finish });
        return { type: 'delta', choice, ...delta };
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
    push(choice, delta) {
      if (isEmpty(delta)) return;
      const own = pendingOf(choice);
      own.text += delta.text;
      own.reasoning += delta.reasoning;
      for (const token of delta.tokens) own.tokens.push(token);
      for (const call of delta.toolCalls) addToolCall(own.toolCalls, call);
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

/** Pieces of one call that follow each other become one. */
function addToolCall(calls: ToolCallDelta[], delta: ToolCallDelta): void {
  const last = calls.at(-1);
  if (last?.index === delta.index && delta.id === undefined) last.arguments += delta.arguments;
  else calls.push({ ...delta });
}
