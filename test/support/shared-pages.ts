/** Page memory that outlives whoever writes into it, without a kernel: one `Uint8Array` for each descriptor. */
export function createSharedPages(pageBytes: number) {
  const memories: { pages: Uint8Array; tail: Uint8Array }[] = [];
  return {
    memories,
    /** An attention that moves into such memory when it is asked to, as `PagedAttention` does. */
    attention(pages: number) {
      let own: Uint8Array | undefined;
      return {
        share(descriptor: number | undefined, tailBytes: number) {
          const known = descriptor === undefined ? undefined : memories[descriptor];
          if (descriptor !== undefined && known?.tail.length !== tailBytes) return undefined;
          const memory = known ?? { pages: new Uint8Array(pages * pageBytes), tail: new Uint8Array(tailBytes) };
          if (known === undefined) memories.push(memory);
          own = memory.pages;
          return { descriptor: memories.indexOf(memory), tail: memory.tail };
        },
        sumPages(first: number, count: number, sum: Uint8Array) {
          sum.fill(0);
          own!.subarray(first * pageBytes, (first + count) * pageBytes).forEach((byte, i) => {
            sum[i % 8] = (sum[i % 8]! * 31 + byte) & 255;
          });
        },
      };
    },
  };
}
