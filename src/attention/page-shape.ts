/** Tokens whose keys and values one page holds. */
export const PAGE_TOKENS = 16;

/** What a page of one model holds: keys and values of all its layers. */
export interface PageShape {
  layers: number;
  kvHeads: number;
  /** Values per key and per value of one head. */
  headSize: number;
  /** How the values are stored. */
  type: PageType;
  /** For models that see less than everything in some layers. */
  slidingWindow?: SlidingWindow;
}

export interface SlidingWindow {
  /** Positions that a row of a windowed layer sees, its own included. */
  size: number;
  /** For each layer, whether the window holds there. */
  layers: readonly boolean[];
}

/**
 * 16-bit floats, or 8-bit integers of which 32 have a common 16-bit scale, as in GGUF's types of these names; or 16-bit
 * integers with a 32-bit scale for each key and each value, which are as exact as f16 at least, and faster to attend to.
 */
export type PageType = 'f16' | 'i16' | 'q8_0';

/** Of one key or value of one head. */
const VECTOR_BYTES: Record<PageType, (headSize: number) => number> = {
  f16: (headSize) => 2 * headSize,
  i16: (headSize) => 2 * headSize + 4,
  q8_0: (headSize) => (34 / 32) * headSize,
};

/** Bytes of one page: keys and values of 16 tokens in all layers. */
export function pageBytes({ layers, kvHeads, headSize, type }: PageShape): number {
  return 2 * layers * kvHeads * PAGE_TOKENS * VECTOR_BYTES[type](headSize);
}

/** Dimensions of a head come in multiples of this. */
const GROUP: Record<PageType, number> = { f16: 16, i16: 16, q8_0: 32 };

/** Whether the kernel computes attention heads of this size: multiples of 16, of 32 in pages of type q8_0, up to 256. */
export function supportsHeadSize(headSize: number, type: PageType): boolean {
  return Number.isInteger(headSize) && headSize > 0 && headSize <= 256 && headSize % GROUP[type] === 0;
}
