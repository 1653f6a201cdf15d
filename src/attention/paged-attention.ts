import koffi from 'koffi';
import { AttentionError } from './attention-error.js';
import { learnGgmlLayout } from './ggml-layout.js';
import {
  errorBuffer,
  errorText,
  type KernelLibrary,
  loadKernelLibrary,
  type NativeDecode,
  type NativeShape,
  type Pointer,
} from './kernel-library.js';
import { type PageShape, type PageType, pageBytes, supportsHeadSize } from './page-shape.js';

/** Instruction set of the kernel; `auto` is the fastest that the machine has. */
export type KernelLevel = 'auto' | 'avx512' | 'avx2' | 'neon' | 'portable';

export interface PagedAttentionOptions {
  shape: PageShape;
  /** Pages of 16 tokens. Their memory is reserved now and taken as they are written. */
  pages: number;
  /** Path of a library that `buildKernel` made. */
  kernel: string;
  /** Path of libggml-base of the loaded llama.cpp. */
  ggmlBaseLibrary: string;
  level?: KernelLevel;
  /** Threads that compute a step, in all lanes together: work is cut finely enough for so many. Default: for many. */
  threads?: number;
}

/** What a llama.cpp context needs to compute its attention over pages: a callback, to be told of each step before it. */
export abstract class StepAttention {
  /** Address for `llama_context_params.cb_eval`. */
  readonly evalCallback: bigint;
  /** Address for `llama_context_params.cb_eval_user_data`. */
  readonly evalCallbackData: bigint;

  protected readonly library: KernelLibrary;

  protected constructor(library: KernelLibrary, handle: Pointer) {
    this.library = library;
    this.evalCallback = library.evalCallback();
    this.evalCallbackData = handle;
  }

  /**
   * Announces the rows of the next `llama_decode`, in its order. The arrays are copied; entries from `rows` on are not
   * looked at.
   * @param positions position of each row in its sequence
   * @param slots where each row's key and value go: page · 16 + offset
   * @param tableOffsets where in `tables` the page table of the row's sequence begins. Rows of a sequence follow each
   * other with ascending positions and one offset
   * @param tables page tables; each is read up to the page of its sequence's last row
   * @throws AttentionError when they name positions, slots or pages that do not exist
   */
  beginStep(
    rows: number,
    positions: Int32Array,
    slots: Int32Array,
    tableOffsets: Int32Array,
    tables: Int32Array,
  ): void {
    const shortest = Math.min(positions.length, slots.length, tableOffsets.length);
    if (rows > shortest) throw new AttentionError(`a step of ${rows} rows has arrays of length ${shortest}`);
    const error = errorBuffer();
    const status = this.library.beginStep(
      this.open(),
      rows,
      positions,
      slots,
      tableOffsets,
      tables,
      tables.length,
      error,
    );
    if (status !== 0) throw new AttentionError(errorText(error));
  }

  /**
   * After {@link beginStep}: which of its rows have an output; otherwise all have. What attention would add to the other ones
   * in the last layer, nobody reads, and it is not computed.
   * @param outputs 1 or 0 for each row; entries behind the step's rows are not looked at
   */
  expectOutputs(outputs: Int8Array): void {
    this.library.expectOutputs(this.open(), outputs);
  }

  /**
   * What the kernel could not compute in the last step, whose logits are then worthless; undefined if all went well.
   * Asking forgets it.
   */
  takeError(): string | undefined {
    return this.library.takeError(this.open()) ?? undefined;
  }

  /** The native handle. @throws AttentionError when it is gone */
  protected abstract open(): Pointer;
}

/**
 * The key/value pages of one model, and attention over them in place of llama.cpp's own. A llama.cpp context whose
 * `cb_eval` is {@link evalCallback} with {@link evalCallbackData} writes and reads these pages in every `llama_decode`;
 * {@link beginStep} tells before each where its rows belong. How it works, and why the results are bit-identical
 * however requests are batched: native/README.md.
 */
export class PagedAttention extends StepAttention {
  /** Instruction set in use, e.g. `avx512`. */
  readonly level: string;
  /** Bytes of all pages, keys and values. */
  readonly bytes: number;
  private handle: Pointer | undefined;

  /**
   * @throws AttentionError when the head size is not supported, the kernel does not fit the loaded llama.cpp or the
   * machine, or the system refuses the memory
   */
  constructor(options: PagedAttentionOptions) {
    const { shape, pages, level = 'auto', threads = 0 } = options;
    if (!supportsHeadSize(shape.headSize, shape.type)) {
      throw new AttentionError(
        `attention heads of size ${shape.headSize} are not supported in pages of type ${shape.type}`,
        'Choose a model whose head size is a multiple of 16, for q8_0 of 32, up to 256.',
      );
    }
    const library = loadKernelLibrary(options.kernel);
    const codes = learnGgmlLayout(options.ggmlBaseLibrary, library);
    const chosen = level === 'auto' ? (library.level(0) ?? '') : level;
    const error = errorBuffer();
    const handle = library.open(nativeShape(shape, pages, threads), chosen, codes, error);
    if (handle === null) throw new AttentionError(errorText(error));
    super(library, handle);
    this.handle = handle;
    this.level = chosen;
    this.bytes = pages * pageBytes(shape);
  }

  /**
   * Lanes over these pages, 2 to 64 of them; undefined where the system has no threads for them. They must be disposed of
   * before the pages.
   */
  openLanes(count: number): AttentionLanes | undefined {
    const lanes = this.library.lanesOpen(this.open(), count);
    return lanes === null ? undefined : new AttentionLanes(this.library, lanes, count);
  }

  /**
   * Copies keys and values of page `source` over page `target`, in all layers: copy-on-write.
   * @throws AttentionError when one of them does not exist
   */
  copyPage(source: number, target: number): void {
    if (this.library.copyPage(this.open(), source, target) !== 0) {
      throw new AttentionError(`cannot copy page ${source} to ${target}: no such page`);
    }
  }

  /**
   * Moves the pages, before the first step, into memory that outlives this process for whoever holds its descriptor.
   * @param descriptor of such memory, whose pages are taken over as they are, or undefined for new memory
   * @param tailBytes bytes behind the pages for the caller; zeros in new memory
   * @returns the descriptor and a view of these bytes, valid until {@link dispose}; undefined when the memory given is of
   * another size, or this machine has none that would be as fast: then the pages are where they were
   */
  share(descriptor: number | undefined, tailBytes: number): { descriptor: number; tail: Uint8Array } | undefined {
    const handle = this.open();
    const shared = this.library.share(handle, descriptor ?? -1, tailBytes);
    const tail = shared < 0 ? null : this.library.tail(handle);
    return tail === null ? undefined : { descriptor: shared, tail: new Uint8Array(koffi.view(tail, tailBytes)) };
  }

  /**
   * Takes memory for shared pages ahead of their first use, from the first page on, in a thread beside everything else.
   * To be called once at most.
   * @param bytes how much at most
   */
  backAhead(bytes: number): void {
    const handle = this.open();
    this.library.expectBacking(handle);
    // `dispose` waits for the thread, so nobody else has to.
    this.library.backAhead.async(handle, bytes, () => {});
  }

  /**
   * A checksum of `count` pages from `first` on, over all layers: 8 bytes into `sum`.
   * @throws AttentionError when one of them does not exist
   */
  sumPages(first: number, count: number, sum: Uint8Array): void {
    if (this.library.sumPages(this.open(), first, count, sum) !== 0) {
      throw new AttentionError(`cannot sum ${count} pages from ${first} on: no such page`);
    }
  }

  /** Frees the pages. The contexts that use them must be freed before. Further calls do nothing. */
  dispose(): void {
    if (this.handle === undefined) return;
    this.library.close(this.handle);
    this.handle = undefined;
  }

  protected override open(): Pointer {
    if (this.handle === undefined) throw new AttentionError('the page memory was disposed of');
    return this.handle;
  }
}

/**
 * Several contexts that compute one step side by side, each a part of its rows on threads of its own, over the same pages. So
 * threads wait for each other at most once a layer, and not after every node of a graph; native/README.md says more.
 */
export class AttentionLanes {
  /** One for each context, which is made with it. */
  readonly lanes: readonly StepAttention[];
  private readonly library: KernelLibrary;
  private handle: Pointer | undefined;

  constructor(library: KernelLibrary, handle: Pointer, count: number) {
    this.library = library;
    this.handle = handle;
    this.lanes = Array.from({ length: count }, (_, i) => new Lane(library, library.lane(handle, i)));
  }

  /**
   * Calls `llama_decode` for every lane at the same time, each after its `beginStep`.
   * @param llamaDecode the address of that function
   * @param decodes its arguments, lane by lane: a context, and the address of a batch
   * @returns 0, or what the first of those that failed returned
   */
  compute(llamaDecode: bigint, decodes: NativeDecode[]): number {
    if (this.handle === undefined) throw new AttentionError('the lanes were disposed of');
    return this.library.lanesCompute(this.handle, llamaDecode, decodes);
  }

  /** Ends their threads. Their contexts must be freed before. Further calls do nothing. */
  dispose(): void {
    if (this.handle === undefined) return;
    this.library.lanesClose(this.handle);
    this.handle = undefined;
  }
}

class Lane extends StepAttention {
  constructor(library: KernelLibrary, handle: Pointer) {
    super(library, handle);
  }

  protected override open(): Pointer {
    return this.evalCallbackData;
  }
}

/** `enum quire_page_type`. */
export const PAGE_TYPES: Record<PageType, number> = { f16: 0, q8_0: 1, i16: 2 };

function nativeShape(shape: PageShape, pages: number, threads: number): NativeShape {
  const { layers, kvHeads, headSize, type, slidingWindow } = shape;
  return {
    layers,
    kv_heads: kvHeads,
    head_size: headSize,
    pages,
    page_type: PAGE_TYPES[type],
    window: slidingWindow?.size ?? 0,
    windowed: slidingWindow === undefined ? null : Uint8Array.from(slidingWindow.layers, Number),
    threads,
  };
}
