import koffi from 'koffi';
import type { LlamaBatch } from './batch.js';
import type { Bindings, Pointer } from './bindings.js';
import { checkSize, MAX_SEQUENCES, MAX_THREADS } from './limits.js';
import { LlamaError } from './llama-error.js';
import type { NativeLog } from './native-log.js';
import type { AttachableThreadPool, ThreadPool } from './thread-pool.js';

const FLASH_ATTENTION_AUTO = -1;
const FLASH_ATTENTION_ENABLED = 1;
/** States of single tokens, whatever pooling the model file names. */
const POOLING_NONE = 0;

/** Values of `enum ggml_type`. */
const KV_TYPES = { f16: 1, q8_0: 8 };

export type KVType = keyof typeof KV_TYPES;

export interface ContextOptions {
  /** Most tokens of one decode, which computes them as one ubatch. */
  batchSize: number;
  /** Sequence ids run from 0 to this - 1; at most 256. */
  maxSequences: number;
  /** Most tokens of one decode whose logits are wanted. */
  maxOutputs: number;
  threads: number;
  /** Positions that llama.cpp's own KV cache holds, over all sequences; default batchSize. Rounded up to 256. */
  contextLength?: number;
  /** How llama.cpp's KV cache stores keys and values; default f16. Other types turn flash attention on. */
  kvType?: KVType;
  /** One KV cache for all sequences (default), or a slice of it for each. */
  unified?: boolean;
  /** Address of a C `ggml_backend_sched_eval_callback`, and of what it is called with. Turns flash attention on. */
  evalCallback?: bigint;
  evalCallbackData?: bigint;
  threadPool?: ThreadPool;
}

/** llama.cpp's own KV cache. Positions are half-open ranges [from, to); to = -1 means: to the end. */
export interface LlamaMemory {
  /** Forgets positions of a sequence; false if the model cannot forget a part. @throws RangeError */
  seqRemove(sequence: number, from: number, to: number): boolean;
  /** Lets `target` share positions of `source` without copying them. Whole sequences only, unless unified. */
  seqCopy(source: number, target: number, from: number, to: number): void;
  /** -1 if the sequence is empty. @throws RangeError */
  seqPosMin(sequence: number): number;
  /** -1 if the sequence is empty. @throws RangeError */
  seqPosMax(sequence: number): number;
}

/** The part of llama.cpp's KV cache that one sequence owns, as bytes. */
export interface LlamaState {
  sequenceSize(sequence: number): number;
  saveSequence(sequence: number): Uint8Array;
  /**
   * Replaces a sequence by a saved one. llama.cpp trusts numbers in the bytes: they must be as saveSequence made them.
   * @throws LlamaError if they are cut short, of another model or KV cache, or there is no room.
   */
  restoreSequence(sequence: number, bytes: Uint8Array): void;
}

export interface LlamaContext {
  readonly batchSize: number;
  readonly maxOutputs: number;
  /**
   * Computes a batch; returns when it is done.
   * @throws LlamaError with the cause. Unless the computation itself failed, the KV cache is as before.
   */
  decode(batch: LlamaBatch): void;
  /**
   * A decode that native code is to call, for {@link decodeTogether}.
   * @throws LlamaError when the batch does not fit
   */
  prepare(batch: LlamaBatch): PreparedDecode;
  /**
   * Logits after the token at this index of the last batch, one for each token of the vocabulary. A view of llama.cpp's
   * memory: it may be changed in place, and is valid until the next decode.
   * @throws RangeError if they were not wanted.
   */
  logits(row: number): Float32Array;
  /**
   * Computes a batch as {@link decode} does, but for the hidden states of all its tokens, and not for logits; in the batch, all
   * are marked as wanted. There must be at most `maxOutputs` tokens.
   * @throws LlamaError as decode
   */
  embed(batch: LlamaBatch): void;
  /**
   * Hidden state, behind the last norm, of the token at this index of the last batch, which {@link embed} computed. A view
   * of llama.cpp's memory, valid until the next batch.
   * @throws RangeError if there is none.
   */
  embedding(row: number): Float32Array;
  /** Forgets all sequences; the memory behind them is not wiped. */
  clearMemory(): void;
  readonly memory: LlamaMemory;
  readonly state: LlamaState;
  /** Computes with these threads from now on. */
  attachThreadPool(pool: ThreadPool): void;
  /** Frees it. Idempotent. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** A decode that is about to be called. */
export interface PreparedDecode {
  readonly call: DecodeCall;
  /** The address of `llama_decode`. */
  readonly llamaDecode: Pointer;
  /** Runs what calls it, during which nothing may be logged. */
  silence<T>(body: () => T): T;
  /** To be told what it returned. @throws LlamaError unless that is 0 */
  finish(code: number): void;
}

/** What `llama_decode` is called with: the context, and the address of the batch. */
export interface DecodeCall {
  context: Pointer;
  batch: Pointer;
}

/**
 * Computes a batch in each of several contexts at the same time, as {@link LlamaContext.decode} does in one.
 * @param call calls the function at `llamaDecode` for each context; returns 0, or what a call that failed returned
 * @throws LlamaError
 */
export function decodeTogether(
  decodes: readonly PreparedDecode[],
  call: (llamaDecode: Pointer, calls: DecodeCall[]) => number,
): void {
  const [{ llamaDecode, silence }] = decodes;
  const calls = decodes.map((decode) => decode.call);
  const code = silence(() => call(llamaDecode, calls));
  for (const decode of decodes) decode.finish(code);
}

/** What a context needs to know of the model it belongs to. */
export interface ContextOwner {
  bindings: Bindings;
  log: NativeLog;
  model: Pointer;
  vocabSize: number;
  /** Width of a hidden state. */
  embeddingSize: number;
  /** Whether a GPU computes (a part of) the model. */
  offloaded: boolean;
  onDispose(context: LlamaContext): void;
}

/**
 * @throws RangeError for sizes that llama.cpp does not allow.
 * @throws LlamaError if it cannot make the context, most often for lack of memory.
 */
export function createContext(owner: ContextOwner, options: ContextOptions): LlamaContext {
  const { bindings, log, vocabSize, embeddingSize } = owner;
  const { batchSize, maxSequences, threads } = options;
  checkSize('batchSize', batchSize);
  checkSize('contextLength', options.contextLength ?? batchSize);
  checkSize('maxOutputs', options.maxOutputs);
  checkSize('maxSequences', maxSequences, MAX_SEQUENCES);
  checkSize('threads', threads, MAX_THREADS);
  // The output buffer has a row for every sequence, wanted or not; llama.cpp aborts if it may not.
  const maxOutputs = Math.max(options.maxOutputs, maxSequences);
  const unified = options.unified ?? true;
  const kvType = options.kvType ?? 'f16';
  // An evaluation callback counts on one attention node a layer, and other attention needs values in f16. Left to
  // itself, llama.cpp decides by the model.
  const needsFlashAttention = options.evalCallback !== undefined || kvType !== 'f16';

  log.beginCall();
  let pointer = bindings.llama_init_from_model(owner.model, {
    ...bindings.llama_context_default_params(),
    n_ctx: options.contextLength ?? batchSize,
    n_batch: batchSize,
    n_ubatch: batchSize,
    n_seq_max: maxSequences,
    n_outputs_max: maxOutputs,
    n_outputs_max_per_seq: maxOutputs,
    n_threads: threads,
    n_threads_batch: threads,
    pooling_type: POOLING_NONE,
    flash_attn_type: needsFlashAttention ? FLASH_ATTENTION_ENABLED : FLASH_ATTENTION_AUTO,
    type_k: KV_TYPES[kvType],
    type_v: KV_TYPES[kvType],
    cb_eval: options.evalCallback ?? null,
    cb_eval_user_data: options.evalCallbackData ?? null,
    offload_kqv: owner.offloaded,
    op_offload: owner.offloaded,
    kv_unified: unified,
  });
  if (pointer === null) {
    throw new LlamaError(
      `cannot create a context: ${log.reason() || 'no reason given'}`,
      'If memory is short, lower --kv-cache-memory, --max-num-batched-tokens or --max-num-seqs.',
    );
  }
  const kvCache = bindings.llama_get_memory(pointer);

  let threadPool: AttachableThreadPool | undefined;
  let outputs = 0;
  /** Index of each batch row among the rows whose logits were wanted, or -1. */
  const outputIndex = new Int32Array(batchSize).fill(-1);
  let rows = 0;
  let viewPointer: Pointer | null = null;
  /** Views of llama.cpp's output buffer, by output index. */
  let views: Float32Array[] = [];
  /** llama_get_logits puts the rows into batch order: once after each decode, before any is read. */
  let viewsCurrent = false;
  /** Hidden states of the last batch, if it was computed for them. */
  let states: Float32Array | undefined;
  let statesPointer: Pointer | null = null;
  let statesView = new Float32Array();

  const live = (): Pointer => {
    if (pointer === null) throw new LlamaError('the context has been disposed');
    return pointer;
  };

  const sequence = (id: number): number => {
    if (!Number.isInteger(id) || id < 0 || id >= maxSequences) {
      throw new RangeError(`sequence ${id} is not in 0..${maxSequences - 1}`);
    }
    return id;
  };

  const memory = (): Pointer => {
    live();
    if (kvCache === null) throw new LlamaError('this model keeps no KV cache');
    return kvCache;
  };

  /** Logits are computed of the rows that want them, hidden states of all. */
  const begin = (batch: LlamaBatch, outputsOf: 'logits' | 'states'): Pointer => {
    const context = live();
    if (batch.length < 1 || batch.length > Math.min(batchSize, batch.capacity)) {
      throw new LlamaError(`a batch of ${batch.length} tokens does not fit: 1 to ${batchSize} do`);
    }
    outputs = 0;
    rows = 0;
    viewsCurrent = false;
    states = undefined;
    for (let row = 0; row < batch.length; row++) {
      outputIndex[row] = outputsOf === 'states' || batch.wantsLogits[row] === 0 ? -1 : outputs++;
    }
    const wanted = outputsOf === 'states' ? batch.length : outputs;
    if (wanted > maxOutputs) {
      throw new LlamaError(`the batch wants ${outputsOf} of ${wanted} tokens, the context has room for ${maxOutputs}`);
    }
    log.beginCall();
    return context;
  };

  const finish = (batch: LlamaBatch, code: number): void => {
    if (code !== 0) throw decodeError(code, log.reason());
    rows = batch.length;
  };

  const refreshViews = (context: Pointer): void => {
    const current = bindings.llama_get_logits(context);
    if (current === null) throw new LlamaError('this model computes no logits');
    if (current !== viewPointer || outputs > views.length) {
      // The buffer never shrinks at one address, and has a row for every sequence from the start.
      const count = Math.max(outputs, maxSequences);
      const all = new Float32Array(koffi.view(current, 4 * vocabSize * count));
      views = Array.from({ length: count }, (_, row) => all.subarray(row * vocabSize, (row + 1) * vocabSize));
      viewPointer = current;
    }
    viewsCurrent = true;
  };

  /** A view of all states of the last batch, under the same rules as views of logits. */
  const currentStates = (native: Pointer, count: number): Float32Array => {
    const current = bindings.llama_get_embeddings(native);
    if (current === null) throw new LlamaError('this model gives no embeddings');
    if (current !== statesPointer || count * embeddingSize > statesView.length) {
      statesView = new Float32Array(koffi.view(current, 4 * embeddingSize * Math.max(count, maxSequences)));
      statesPointer = current;
    }
    return statesView;
  };

  const decode = (native: Pointer, batch: LlamaBatch): void => {
    const run = () => bindings.llama_decode(native, batch.toStruct());
    finish(batch, owner.offloaded ? log.silence(run) : run());
  };

  const detachThreadPool = (): void => {
    if (threadPool === undefined || pointer === null) return;
    bindings.llama_detach_threadpool(pointer);
    threadPool.detach();
    threadPool = undefined;
  };

  const dispose = (): void => {
    if (pointer === null) return;
    detachThreadPool();
    bindings.llama_free(pointer);
    pointer = null;
    views = [];
    states = undefined;
    statesView = new Float32Array();
    owner.onDispose(context);
  };

  const context: LlamaContext = {
    batchSize,
    maxOutputs,

    decode(batch) {
      decode(begin(batch, 'logits'), batch);
    },

    prepare(batch) {
      const native = begin(batch, 'logits');
      return {
        call: { context: native, batch: batch.toAddress() },
        llamaDecode: bindings.llamaDecode,
        silence: log.silence,
        finish: (code) => finish(batch, code),
      };
    },

    embed(batch) {
      const native = begin(batch, 'states');
      // llama.cpp computes them of all rows in any case, but warns when not all are wanted.
      batch.wantsLogits.fill(1, 0, batch.length);
      bindings.llama_set_embeddings(native, true);
      try {
        decode(native, batch);
        states = currentStates(native, batch.length);
      } finally {
        bindings.llama_set_embeddings(native, false);
      }
    },

    embedding(row) {
      live();
      if (states === undefined || !Number.isInteger(row) || row < 0 || row >= rows) {
        throw new RangeError(`the last batch computed no hidden state of row ${row}`);
      }
      return states.subarray(row * embeddingSize, (row + 1) * embeddingSize);
    },

    logits(row) {
      const native = live();
      const index = row < rows ? outputIndex[row] : undefined;
      if (index === undefined || index < 0) throw new RangeError(`the last batch wanted no logits of row ${row}`);
      if (!viewsCurrent) refreshViews(native);
      return views[index] as Float32Array;
    },

    clearMemory: () => bindings.llama_memory_clear(memory(), false),

    memory: {
      seqRemove: (id, from, to) => bindings.llama_memory_seq_rm(memory(), sequence(id), from, to),
      seqCopy: (source, target, from, to) => {
        if (!unified && (from > 0 || to >= 0)) {
          throw new LlamaError('a part of a sequence can be copied in a unified KV cache only');
        }
        bindings.llama_memory_seq_cp(memory(), sequence(source), sequence(target), from, to);
      },
      seqPosMin: (id) => bindings.llama_memory_seq_pos_min(memory(), sequence(id)),
      seqPosMax: (id) => bindings.llama_memory_seq_pos_max(memory(), sequence(id)),
    },

    state: {
      sequenceSize: (id) => Number(bindings.llama_state_seq_get_size(live(), sequence(id))),
      saveSequence: (id) => {
        const bytes = new Uint8Array(Number(bindings.llama_state_seq_get_size(live(), sequence(id))));
        log.beginCall();
        const written = Number(bindings.llama_state_seq_get_data(live(), bytes, bytes.length, id));
        if (written === 0) throw new LlamaError(`cannot save sequence ${id}: ${log.reason()}`);
        return bytes.subarray(0, written);
      },
      restoreSequence: (id, bytes) => {
        log.beginCall();
        const read = bindings.llama_state_seq_set_data(live(), bytes, bytes.length, sequence(id));
        if (Number(read) === 0) {
          throw new LlamaError(
            `cannot restore sequence ${id}: ${log.reason() || 'the bytes do not fit'}`,
            'Restore only what this model and the same context options have saved, into a KV cache with room for it.',
          );
        }
      },
    },

    attachThreadPool(pool) {
      const native = live();
      detachThreadPool();
      threadPool = pool as AttachableThreadPool;
      const threads = threadPool.attach();
      bindings.llama_attach_threadpool(native, threads, threads);
    },

    dispose,
    [Symbol.dispose]: dispose,
  };

  if (options.threadPool !== undefined) {
    try {
      context.attachThreadPool(options.threadPool);
    } catch (error) {
      dispose();
      throw error;
    }
  }
  return context;
}

/** What `llama_decode` means by a code other than 0. */
function decodeError(code: number, reason: string): LlamaError {
  const because = reason === '' ? '' : `: ${reason}`;
  if (code === 1)
    return new LlamaError(`llama.cpp's KV cache has no room for the batch${because}`, 'Send fewer tokens.');
  if (code === 2) return new LlamaError(`the computation was aborted${because}`);
  if (code === -1) return new LlamaError(`llama.cpp calls the batch invalid${because}`);
  return new LlamaError(`the computation failed with code ${code}${because}`, 'If memory is short, send fewer tokens.');
}
