import koffi from 'koffi';
import { BATCH, type BatchStruct, type Pointer } from './bindings.js';

/** Frees the native copies. */
const batches = new FinalizationRegistry<Pointer>((address) => koffi.free(address));

/**
 * Tokens for one decode, filled in place and reused: set the first `length` entries of each array.
 * Each token belongs to one sequence; within a sequence, positions are consecutive and ascend through the batch.
 */
export class LlamaBatch {
  /** Most tokens it can hold. */
  readonly capacity: number;
  readonly tokens: Int32Array;
  readonly positions: Int32Array;
  readonly sequenceIds: Int32Array;
  /** 1 where the logits after this token are wanted, else 0. */
  readonly wantsLogits: Int8Array;
  /** Tokens in it now. */
  length = 0;

  readonly #sequenceCounts: Int32Array;
  readonly #sequencePointers: BigUint64Array;
  readonly #struct: BatchStruct;
  /** A native copy of it, once that is asked for. */
  #address: Pointer | undefined;

  /** @throws RangeError if the capacity is not a positive integer. */
  constructor(capacity: number) {
    if (!Number.isSafeInteger(capacity) || capacity < 1) throw new RangeError(`batch capacity ${capacity}`);
    this.capacity = capacity;
    // Arrays over explicit buffers: V8 may move the contents of small typed arrays made by length alone.
    this.tokens = new Int32Array(new ArrayBuffer(4 * capacity));
    this.positions = new Int32Array(new ArrayBuffer(4 * capacity));
    this.sequenceIds = new Int32Array(new ArrayBuffer(4 * capacity));
    this.wantsLogits = new Int8Array(new ArrayBuffer(capacity));
    this.#sequenceCounts = new Int32Array(new ArrayBuffer(4 * capacity)).fill(1);
    const firstId = koffi.address(this.sequenceIds);
    this.#sequencePointers = new BigUint64Array(new ArrayBuffer(8 * capacity));
    for (let i = 0; i < capacity; i++) this.#sequencePointers[i] = firstId + BigInt(4 * i);
    this.#struct = {
      n_tokens: 0,
      token: koffi.address(this.tokens),
      embd: null,
      pos: koffi.address(this.positions),
      n_seq_id: koffi.address(this.#sequenceCounts),
      seq_id: koffi.address(this.#sequencePointers),
      logits: koffi.address(this.wantsLogits),
    };
  }

  /** The batch as `llama_decode` takes it. Its pointers are good as long as this object lives. */
  toStruct(): BatchStruct {
    this.#struct.n_tokens = this.length;
    return this.#struct;
  }

  /** Where a native copy of {@link toStruct} is, which the next call overwrites. Good as long as this object lives. */
  toAddress(): Pointer {
    if (this.#address === undefined) {
      const address: Pointer = koffi.alloc(BATCH, 1);
      this.#address = address;
      batches.register(this, address);
    }
    koffi.encode(this.#address, BATCH, this.toStruct());
    return this.#address;
  }
}
