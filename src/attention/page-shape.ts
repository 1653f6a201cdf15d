/** Tokens whose keys and values one page holds. */
export const PAGE_TOKENS = 16;

/** What a page of one model holds: keys and values of all its layers. */
export interface PageShape {
  layers: number;
  kvHeads: number;
  /** Values per key and per value of one head. */
  headSize: number;
}

const BYTES_PER_VALUE = 2;

/** Bytes of one page: keys and values of 16 tokens in all layers, as 16-bit floats. */
export function pageBytes(shape: PageShape): number {
  return 2 * shape.layers * shape.kvHeads * shape.headSize * PAGE_TOKENS * BYTES_PER_VALUE;
}

/** Whether the kernel computes attention heads of this size: multiples of 16 up to 256. */
export function supportsHeadSize(headSize: number): boolean {
  return Number.isInteger(headSize) && headSize > 0 && headSize <= 256 && headSize % 16 === 0;
}
