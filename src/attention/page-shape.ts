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

/** 16-bit floats, or 8-bit integers of which 32 have a common 16-bit scale, as in GGUF's types of these names. */
export type PageType = 'f16' | 'q8_0';

const BYTES_PER_VALUE: Record<PageType, number> = { f16: 2, q8_0: 34 / 32 };

/** Bytes of one page: keys and values of 16 tokens in all layers. */
export function pageBytes({ layers, kvHeads, headSize, type }: PageShape): number {
  return 2 * layers * kvHeads * headSize * PAGE_TOKENS * BYTES_PER_VALUE[type];
}

/** Dimensions of a head come in multiples of this. */
const GROUP: Record<PageType, number> = { f16: 16, q8_0: 32 };

/** Whether the kernel computes attention heads of this size: multiples of 16, of 32 in pages of type q8_0, up to 256. */
export function supportsHeadSize(headSize: number, type: PageType): boolean {
  return Number.isInteger(headSize) && headSize > 0 && headSize <= 256 && headSize % GROUP[type] === 0;
}
