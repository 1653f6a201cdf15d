import koffi from 'koffi';
import { AttentionError } from './attention-error.js';
import { learnGgmlLayout } from './ggml-layout.js';
import {
  errorBuffer,
  errorText,
  type KernelLibrary,
  loadKernelLibrary,
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
}

/**
 * The key/value pages of one model, and attention over them in place of llama.cpp's own. A llama.cpp context whose
 * `cb_eval` is {@link evalCallback} with {@link evalCallbackData} writes and reads these pages in every `llama_decode`;
 * {@link beginStep} tells before each where its rows belong. How it works, and why the results are bit-identical
 * however requests are batched: native/README.md.
 */
export class PagedAttention {
  /** Instruction set in use, e.g. `avx512`. */
  readonly level: string;
  /** Bytes of all pages, keys and values. */
  readonly bytes: number;
  /** Address for `llama_context_params.cb_eval`. */
  readonly evalCallback: bigint;
  /** Address for `llama_context_params.cb_eval_user_data`. */
  readonly evalCallbackData: bigint;

  private readonly library: KernelLibrary;
  private handle: Pointer | undefined;

  /**
   * @throws AttentionError when the head size is not supported, the kernel does not fit the loaded llama.cpp or the
   * machine, or the system refuses the memory
   */
  constructor(options: PagedAttentionOptions) {
    const { shape, pages, level = 'auto' } = options;
    if (!supportsHeadSize(shape.headSize, shape.type)) {
      throw new AttentionError(
        `attention heads of size ${shape.headSize} are not supported in pages of type ${shape.type}`,
        'Choose a model whose head size is a multiple of 16, for q8_0 of 32, up to 256.',
      );
    }
    this.library = loadKernelLibrary(options.kernel);
    const codes = learnGgmlLayout(options.ggmlBaseLibrary, this.library);
    this.level = level === 'auto' ? (this.library.level(0) ?? '') : level;
    this.bytes = pages * pageBytes(shape);

    const error = errorBuffer();
    const handle = this.library.open(nativeShape(shape, pages), this.level, codes, error);
    if (handle === null) throw new AttentionError(errorText(error));
    this.handle = handle;
    this.evalCallback = this.library.evalCallback();
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

  /**
   * What the kernel could not compute in the last step, whose logits are then worthless; undefined if all went well.
   * Asking forgets it.
   */
  takeError(): string | undefined {
    return this.library.takeError(this.open()) ?? undefined;
  }

  /** Frees the pages. The contexts that use them must be freed before. Further calls do nothing. */
  dispose(): void {
    if (this.handle === undefined) return;
    this.library.close(this.handle);
    this.handle = undefined;
  }

  private open(): Pointer {
    if (this.handle === undefined) throw new AttentionError('the page memory was disposed of');
    return this.handle;
  }
}

/** `enum quire_page_type`. */
export const PAGE_TYPES: Record<PageType, number> = { f16: 0, q8_0: 1, i16: 2 };

function nativeShape({ layers, kvHeads, headSize, type, slidingWindow }: PageShape, pages: number): NativeShape {
  return {
    layers,
    kv_heads: kvHeads,
    head_size: headSize,
    pages,
    page_type: PAGE_TYPES[type],
    window: slidingWindow?.size ?? 0,
    windowed: slidingWindow === undefined ? null : Uint8Array.from(slidingWindow.layers, Number),
  };
}
