import type { Bindings, Pointer } from './bindings.js';
import { checkSize, MAX_THREADS } from './limits.js';
import { LlamaError } from './llama-error.js';

export interface ThreadPoolOptions {
  /** How eagerly idle threads wait for work: 0 sleeps at once, 100 spins longest. Default 50, as in llama.cpp. */
  polling?: number;
}

/**
 * Threads that outlive a computation. Without a pool every graph starts and ends its own, which costs a decode of one
 * sequence a fifth of its time. Contexts may share a pool as long as they do not compute at the same time.
 */
export interface ThreadPool {
  readonly threads: number;
  /** Ends the threads. Idempotent. @throws LlamaError while a context is attached. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** What contexts need of a pool: its address, and to be counted. */
export interface AttachableThreadPool extends ThreadPool {
  /** @throws LlamaError after dispose. */
  attach(): Pointer;
  detach(): void;
}

/** @throws RangeError for impossible options, LlamaError if the system starts no more threads. */
export function createThreadPool(
  bindings: Bindings,
  cpuBackend: Pointer,
  threads: number,
  { polling = 50 }: ThreadPoolOptions = {},
): AttachableThreadPool {
  checkSize('threads', threads, MAX_THREADS);
  if (!(polling >= 0 && polling <= 100)) throw new RangeError(`polling is ${polling}, not 0 to 100`);
  const functions = bindings.threadPools(cpuBackend);
  let pointer = functions.create({ ...bindings.ggml_threadpool_params_default(threads), poll: polling });
  if (pointer === null) throw new LlamaError(`cannot start ${threads} threads`, 'Ask for fewer (--threads).');
  let contexts = 0;

  const dispose = () => {
    if (pointer === null) return;
    if (contexts > 0) throw new LlamaError(`the thread pool is attached to ${contexts} contexts: dispose them first`);
    functions.free(pointer);
    pointer = null;
  };

  return {
    threads,
    attach: () => {
      if (pointer === null) throw new LlamaError('the thread pool has been disposed');
      contexts += 1;
      return pointer;
    },
    detach: () => {
      contexts -= 1;
    },
    dispose,
    [Symbol.dispose]: dispose,
  };
}
